// The camera: frames of a <video>, and what went wrong in words.

import { Refusal } from "./refusal.js";

const WORDS = {
  NotAllowedError: "The browser was not allowed to use the camera. Allow it in the page's permissions, or choose a picture.",
  NotFoundError: "No camera was found on this device. Choose a picture instead.",
  NotReadableError: "The camera is in use by another program, or it failed.",
  OverconstrainedError: "No camera of this device fits.",
};

/** Start the camera, the one at the back where there are two. */
export async function startCamera(video) {
  try {
    const wanted = { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 960 } };
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    await video.play();
  } catch (error) {
    stopCamera(video);
    throw new Refusal(WORDS[error.name] ?? `The camera could not be started (${error.message}).`);
  }
}

export function stopCamera(video) {
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
}

export const isRunning = (video) => Boolean(video.srcObject) && video.videoWidth > 0;
