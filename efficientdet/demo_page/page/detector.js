// A detector: MediaPipe's ObjectDetector, given exactly the input that the network was trained with.

import { FilesetResolver, ObjectDetector } from "./tasks-vision/vision_bundle.mjs";
import { enlarged, letterbox } from "./letterbox.js";

const FINE = 2560, FAST = 640; // side of the picture that MediaPipe is given, in pixels

// tasks-vision reports its use to its maker once a minute; nothing of this page leaves the machine
const within = window.fetch.bind(window);
window.fetch = (resource, options) =>
  new URL(resource.url ?? resource, location).origin === location.origin
    ? within(resource, options)
    : Promise.reject(new TypeError("this page reaches its own server only"));

// the engine's remarks are no errors
const complain = console.error.bind(console);
console.error = (...words) => (String(words[0]).startsWith("INFO:") ? console.debug(...words) : complain(...words));

export class Detector {
  /** Loads the library and the model that `about`, the server's model.json, describes. */
  static async open(about) {
    const fileset = await FilesetResolver.forVisionTasks("./tasks-vision/wasm");
    const task = await ObjectDetector.createFromOptions(fileset, {
      baseOptions: { modelAssetPath: "./model.tflite", delegate: "CPU" },
      scoreThreshold: 0.01,
      maxResults: -1,
    });
    const detector = new Detector(task, about);
    // the first run makes the engine ready, and is no measure of the others
    detector.detect(new ImageData(about.width, about.height), false);
    return detector;
  }

  constructor(task, about) {
    this.task = task;
    this.about = about;
  }

  /** What is in an ImageData: {detections, prepareMs, detectMs}.
   *
   *  A detection is {name, score, box: [ymin, xmin, ymax, xmax]} in pixels of the image, the strongest first.
   *  `fine` places boxes to a part in 2560 of the picture rather than in 640, and takes longer.
   */
  detect(image, fine = true) {
    const start = performance.now();
    const { pixels, scale } = letterbox(image, this.about);
    const side = Math.max(this.about.height, this.about.width);
    const times = Math.max(1, Math.floor((fine ? FINE : FAST) / side));
    const picture = enlarged(pixels, this.about, times);
    const prepared = performance.now();
    const found = this.task.detect(picture).detections;
    const done = performance.now();
    // MediaPipe joins detections of one box: each of their categories is one
    const detections = found.flatMap(({ boundingBox, categories }) => {
      const box = inImage(boundingBox, scale * times, image);
      return categories.map(({ categoryName, score }) => ({ name: categoryName, score, box }));
    });
    detections.sort((a, b) => b.score - a.score);
    return { detections, prepareMs: prepared - start, detectMs: done - prepared };
  }
}

function inImage({ originX, originY, width, height }, scale, image) {
  const clip = (value, limit) => Math.min(Math.max(value / scale, 0), limit);
  const { height: h, width: w } = image;
  return [clip(originY, h), clip(originX, w), clip(originY + height, h), clip(originX + width, w)];
}
