// What this browser lacks, in words. Nothing is tried that it does not have.

// (module (func (result v128) i32.const 0 i8x16.splat)): valid where there is SIMD
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];
// the same with i8x16.relaxed_swizzle
const RELAXED_SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11,
];

const valid = (bytes) => typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(bytes));

export const hasSimd = () => valid(SIMD);
export const hasRelaxedSimd = () => valid(RELAXED_SIMD);
export const hasCamera = () => Boolean(navigator.mediaDevices?.getUserMedia);
export const hasServiceWorker = () => "serviceWorker" in navigator;

/** Threads need a page that is isolated from others, which its server says with two headers (COOP and COEP). */
export function threadsToUse() {
  return self.crossOriginIsolated ? Math.max(1, Math.min(4, navigator.hardwareConcurrency || 1)) : 1;
}

/** Why the model cannot run here at all, or "". */
export function whyNotAtAll() {
  if (typeof WebAssembly !== "object") return "This browser has no WebAssembly, so the model cannot run in it.";
  if (!hasSimd()) return "This browser has WebAssembly without SIMD, which the model's runtime needs. A newer browser has it.";
  return "";
}

/** What is missing and can be done without, one sentence each. */
export function limits() {
  if (!self.isSecureContext) {
    return ["This page came over plain http: the browser gives it neither the camera nor a way to work offline, and the model's hash was not checked. Open it over https, or from this computer as localhost."];
  }
  const found = [];
  if (!hasCamera()) found.push("This browser gives no camera to pages; choose a picture instead.");
  if (!hasServiceWorker()) found.push("This browser has no service worker here (a private window often has none): the page needs its server at every visit.");
  return found;
}
