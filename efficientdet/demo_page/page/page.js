// What the page does: takes a photo or the camera, asks the detector, shows the answer.

import { Detector } from "./detector.js";
import { draw, isBright } from "./stage.js";

const LARGEST = 4096; // side of what is read of a photo, in pixels; phones refuse larger canvases
const LISTED = 50;

const $ = (id) => document.getElementById(id);
const state = { about: null, detector: null, source: null, answer: null, stream: null, frames: [] };

async function start() {
  try {
    state.about = await (await fetch("./model.json")).json();
    describe(state.about);
    state.detector = await Detector.open(state.about);
  } catch (error) {
    return say("error", `The model cannot be started: ${error.message}`);
  }
  for (const id of ["choose", "camera"]) $(id).disabled = false;
  say("ready", "");
  const query = new URLSearchParams(location.search);
  if (query.has("score")) setThreshold(Number(query.get("score")));
  if (query.has("image")) await detectAddress(query.get("image"));
}

function describe({ title, architecture, height, width, bytes, colours, images }) {
  document.title = `${title} · EfficientDet`;
  $("title").textContent = title;
  const classes = Object.keys(colours).length;
  $("facts").textContent =
    `${architecture} · ${width} × ${height} · ${classes} ${classes === 1 ? "class" : "classes"} · ${(bytes / 1e6).toFixed(1)} MB`;
  $("samples").replaceChildren(...images.map(sample));
}

function sample(address) {
  const button = document.createElement("button");
  const picture = document.createElement("img");
  picture.src = address;
  picture.loading = "lazy";
  picture.alt = decodeURIComponent(address.split("/").pop());
  button.append(picture);
  button.addEventListener("click", () => detectAddress(address));
  return button;
}

/** `kind` is loading, ready, done, camera or error; it also stands on the body, for the style. */
function say(kind, text) {
  document.body.dataset.state = kind;
  $("status").textContent = text;
}

async function detectAddress(address) {
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    await detectFile(await answer.blob(), address);
  } catch (error) {
    say("error", `${address}: cannot be shown (${error.message}).`);
  }
}

async function detectFile(file, name = file.name) {
  stopCamera();
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    return say("error", `${name || "This"} is not a picture that this browser can read.`);
  }
  if (!state.detector) return say("error", "The model is not ready yet.");
  say("done", "");
  show(bitmap, true);
}

/** Detects in a bitmap or video and shows it. */
function show(source, fine) {
  const width = source.videoWidth || source.width, height = source.videoHeight || source.height;
  const shrink = Math.min(1, LARGEST / Math.max(width, height));
  const canvas = state.source instanceof HTMLCanvasElement ? state.source : document.createElement("canvas");
  canvas.width = Math.round(width * shrink);
  canvas.height = Math.round(height * shrink);
  const pen = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  pen.drawImage(source, 0, 0, canvas.width, canvas.height);
  state.source = canvas;
  state.answer = state.detector.detect(pen.getImageData(0, 0, canvas.width, canvas.height), fine);
  render();
}

function render() {
  if (!state.answer) return;
  const { detections, prepareMs, detectMs } = state.answer;
  const least = Number($("threshold").value);
  const shown = detections.filter(({ score }) => score >= least);
  $("stage").style.aspectRatio = `${state.source.width} / ${state.source.height}`;
  draw($("stage"), state.source, shown, state.about.colours);
  $("ms").textContent = `${detectMs < 10 ? detectMs.toFixed(1) : Math.round(detectMs)} ms`;
  $("prepare").textContent = `to detect, ${Math.round(prepareMs)} to prepare`;
  $("count").textContent = shown.length;
  $("objects").textContent = shown.length === 1 ? "object" : "objects";
  $("detections").replaceChildren(...shown.slice(0, LISTED).map(entry));
  $("more").textContent = shown.length > LISTED ? `and ${shown.length - LISTED} more` : "";
}

function entry({ name, score, box }) {
  const item = document.createElement("li");
  const chip = document.createElement("span"), bar = document.createElement("span"), value = document.createElement("span");
  const colour = state.about.colours[name];
  chip.className = "chip";
  chip.textContent = name;
  chip.style.backgroundColor = colour;
  chip.style.color = isBright(colour) ? "#111" : "#fff";
  bar.className = "bar";
  bar.style.setProperty("--share", `${score * 100}%`);
  bar.style.setProperty("--colour", colour);
  value.className = "number";
  value.textContent = `${(score * 100).toFixed(1)}%`;
  item.title = `${box.map((v) => v.toFixed(1)).join(", ")} (ymin, xmin, ymax, xmax in pixels)`;
  item.append(chip, bar, value);
  return item;
}

function setThreshold(value) {
  $("threshold").value = value;
  $("threshold-value").textContent = `${Math.round($("threshold").value * 100)}%`;
  render();
}

async function toggleCamera() {
  if (state.stream) return stopCamera();
  try {
    state.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return say("error", `The camera cannot be used: ${error.message}.`);
  }
  const video = $("video");
  video.srcObject = state.stream;
  await video.play();
  $("camera").textContent = "Stop camera";
  say("camera", "");
  const next = (step) => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(step) : requestAnimationFrame(step));
  const step = () => {
    if (!state.stream) return;
    show(video, false);
    countFrame(performance.now());
    next(step);
  };
  next(step);
}

function countFrame(now) {
  state.frames = [...state.frames.filter((time) => now - time < 1000), now];
  $("fps").textContent = `${state.frames.length} pictures a second`;
}

function stopCamera() {
  if (!state.stream) return;
  for (const track of state.stream.getTracks()) track.stop();
  state.stream = null;
  $("video").srcObject = null;
  $("camera").textContent = "Use camera";
  $("fps").textContent = "";
  say("done", "");
}

$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) detectFile(target.files[0]);
  target.value = "";
});
$("camera").addEventListener("click", toggleCamera);
$("threshold").addEventListener("input", ({ target }) => setThreshold(target.value));
window.addEventListener("resize", render);
window.addEventListener("paste", ({ clipboardData }) => clipboardData.files[0] && detectFile(clipboardData.files[0]));
for (const type of ["dragenter", "dragover"]) {
  window.addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
}
window.addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dragging"));
window.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files[0]) detectFile(event.dataTransfer.files[0]);
});

window.demo = state;
start();
