// Offline use: sw.js keeps every file of this page, checked by its hash, and a newer page waits until it is asked for.

import { hasServiceWorker } from "./features.js";

/**
 * @param {string} variant the runtime's file that this browser uses; the others are not kept
 * @param {(words: string) => void} told hears how far it is
 * @param {(use: () => void) => void} newer is called where a newer page is ready
 */
export async function keepOffline(variant, told, newer) {
  if (!self.isSecureContext || !hasServiceWorker()) return told("needs its server at every visit");
  const url = new URL("../sw.js", import.meta.url);
  url.searchParams.set("runtime", variant);
  try {
    const registration = await navigator.serviceWorker.register(url, { updateViaCache: "none" });
    watch(registration, newer);
    told("being kept on this device …");
    await kept(registration);
    told("works offline from now on");
  } catch (error) {
    told(`needs its server at every visit (${error.message})`);
  }
}

/** Wait until a worker has kept all files; where one could not, none becomes active. */
function kept(registration) {
  return new Promise((resolve, reject) => {
    if (registration.active) return resolve();
    const worker = registration.installing ?? registration.waiting;
    return worker.addEventListener("statechange", () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") reject(new Error("its files could not be kept"));
    });
  });
}

function watch(registration, newer) {
  const offer = (worker) => {
    if (!navigator.serviceWorker.controller) return; // the first visit has nothing to replace
    newer(() => {
      navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
      worker.postMessage("use");
    });
  };
  if (registration.waiting) offer(registration.waiting);
  registration.addEventListener("updatefound", () => {
    const worker = registration.installing;
    worker.addEventListener("statechange", () => worker.state === "installed" && offer(worker));
  });
}
