// The picture with boxes on it, sharp at every size and density of the screen.

const LINE = 2.5, FONT = 13, PADDING = 5; // CSS pixels

/** Draws `source` (an ImageBitmap or a canvas) and the detections over it. */
export function draw(canvas, source, detections, colours) {
  const shown = canvas.getBoundingClientRect(), density = window.devicePixelRatio || 1;
  canvas.width = Math.round(shown.width * density);
  canvas.height = Math.round(shown.height * density);
  const pen = canvas.getContext("2d");
  pen.drawImage(source, 0, 0, canvas.width, canvas.height);
  pen.scale(density, density);
  pen.lineJoin = "round";
  pen.font = `600 ${FONT}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  const scale = shown.width / source.width;
  const weakestFirst = [...detections].reverse();
  for (const { name, box } of weakestFirst) outline(pen, box.map((v) => v * scale), colours[name]);
  for (const one of weakestFirst) label(pen, one, scale, colours[one.name], shown);
}

function outline(pen, [ymin, xmin, ymax, xmax], colour) {
  for (const [width, style] of [[LINE + 2, "#0008"], [LINE, colour]]) {
    pen.lineWidth = width;
    pen.strokeStyle = style;
    pen.strokeRect(xmin, ymin, xmax - xmin, ymax - ymin);
  }
}

function label(pen, { name, score, box }, scale, colour, limits) {
  const text = `${name} ${Math.round(score * 100)}%`;
  const width = pen.measureText(text).width + 2 * PADDING, height = FONT + PADDING * 1.4;
  const [ymin, xmin] = box.map((v) => v * scale);
  const x = Math.max(0, Math.min(xmin - LINE / 2, limits.width - width));
  const y = ymin >= height ? ymin - height : ymin;
  pen.fillStyle = colour;
  pen.beginPath();
  pen.roundRect(x, y, width, height, 4);
  pen.fill();
  pen.fillStyle = isBright(colour) ? "#111" : "#fff";
  pen.fillText(text, x + PADDING, y + height / 2 + 0.5);
}

export function isBright(colour) {
  const [red, green, blue] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue > 128;
}
