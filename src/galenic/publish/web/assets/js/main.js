// The page: pictures in, answers out. All of it happens here; nothing is sent anywhere.

import { isRunning, startCamera, stopCamera } from "./camera.js";
import { openClassifier } from "./classifier.js";
import { hasCamera, limits } from "./features.js";
import { keepOffline } from "./offline.js";
import { Refusal } from "./refusal.js";
import { showBars, showPicture, showSeen, showTimes } from "./view.js";

const READY = "Ready: give a picture.";
const at = (id) => document.getElementById(id);
const video = at("video"), live = at("live");
let classifier = null, busy = false;

function say(words, isError = false) {
  at("status").textContent = words;
  at("status").classList.toggle("error", isError);
  at("status").hidden = !words;
}

function wordsOf(error) {
  return error instanceof Refusal ? error.message : `Something failed that should not: ${error?.message ?? error}`;
}

function showNotes(lines) {
  at("notes").hidden = lines.length === 0;
  at("note-list").replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
}

const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

/** Classify a picture and show the answer, or say why there is none. */
async function answer(source, quiet = false) {
  if (!classifier || (busy && quiet)) return;
  while (busy) await painted();
  busy = true;
  try {
    if (!quiet) {
      say("Answering …");
      await painted();
    }
    const found = await classifier.classify(source);
    if (quiet && !live.checked) return; // the camera was stopped meanwhile
    if (found.picture) {
      if (!quiet) await showPicture(at("preview"), found.picture, classifier.model.picture.cropped);
      showSeen(at("seen"), found.seen, classifier.model.preprocessing.raw_shape);
    }
    showBars(at("bars"), found);
    showTimes(at("times"), found.ms);
    showNotes([...limits(), ...found.notes]);
    at("answer").dataset.count = Number(at("answer").dataset.count ?? 0) + 1;
    document.body.classList.add("answered");
    say("");
  } catch (error) {
    document.body.classList.remove("answered");
    say(wordsOf(error), true);
  } finally {
    busy = false;
  }
}

function leaveCamera() {
  if (!document.body.classList.contains("camera")) return;
  live.checked = false;
  stopCamera(video);
  document.body.classList.remove("camera", "answered");
  say(READY);
}

async function enterCamera() {
  try {
    say("Starting the camera …");
    await startCamera(video);
    document.body.classList.remove("answered");
    document.body.classList.add("camera");
    say("");
  } catch (error) {
    say(wordsOf(error), true);
  }
}

async function watchLive() {
  while (live.checked && isRunning(video)) {
    await answer(video, true);
    await painted();
  }
}

function pictureGiven(files) {
  if (!files?.length) return;
  leaveCamera();
  answer(files[0]);
}

function listen() {
  const drop = at("drop");
  at("file").addEventListener("change", ({ target }) => {
    pictureGiven(target.files);
    target.value = ""; // the same file can be chosen again
  });
  at("camera").addEventListener("click", () => (document.body.classList.contains("camera") ? leaveCamera() : enterCamera()));
  at("take").addEventListener("click", async () => {
    live.checked = false;
    const frame = await createImageBitmap(video);
    leaveCamera();
    await answer(frame);
    frame.close();
  });
  live.addEventListener("change", watchLive);
  addEventListener("paste", (event) => pictureGiven(event.clipboardData?.files));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  for (const name of ["dragleave", "drop"]) addEventListener(name, () => drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    pictureGiven(event.dataTransfer?.files);
  });
}

async function start() {
  say("Loading …");
  showNotes(limits());
  listen();
  try {
    classifier = await openClassifier(say);
  } catch (error) {
    return say(wordsOf(error), true);
  }
  window.galenic = classifier;
  const { threads, variant, hashChecked } = classifier;
  at("threads").textContent = threads === 1 ? "1 thread" : `${threads} threads`;
  at("hash-checked").textContent = hashChecked ? "checked" : "not checked (plain http)";
  for (const id of ["file", "camera"]) at(id).disabled = id === "camera" && !hasCamera();
  say(READY);
  document.body.classList.add("ready");
  return keepOffline(variant, (words) => { at("offline").textContent = words; }, (use) => {
    at("newer").hidden = false;
    at("use-newer").addEventListener("click", use, { once: true });
  });
}

start();
