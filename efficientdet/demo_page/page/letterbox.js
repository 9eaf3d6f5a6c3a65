// The letterbox that the network was trained with, bit for bit as efficientdet.letterbox_numpy computes it.

const f = Math.fround;

/** Fits an image into the network's input.
 *
 *  image, ImageData of any size; model, {height, width, pad: [r, g, b]}.
 *  Returns {pixels: Uint8Array of height * width * 3, scale}: the image resized bilinearly without antialiasing, its
 *  aspect ratio kept, in the top-left corner; scale multiplies coordinates of the image into those of the input.
 */
export function letterbox(image, { height, width, pad }) {
  const scale = Math.min(f(f(height) / f(image.height)), f(f(width) / f(image.width)));
  const rows = sampling(image.height, Math.max(1, Math.trunc(f(f(image.height) * scale))));
  const columns = sampling(image.width, Math.max(1, Math.trunc(f(f(image.width) * scale))));
  const pixels = new Uint8Array(height * width * 3);
  for (let i = 0; i < pixels.length; i++) pixels[i] = pad[i % 3];
  for (let y = 0; y < rows.low.length; y++) {
    const upper = rows.low[y] * image.width, lower = rows.high[y] * image.width;
    const dy = rows.share[y], rest = f(1 - dy);
    for (let x = 0; x < columns.low.length; x++) {
      const left = columns.low[x], right = columns.high[x], dx = columns.share[x], before = f(1 - dx);
      for (let c = 0; c < 3; c++) {
        const at = (i) => image.data[i * 4 + c];
        const above = f(f(at(upper + left) * before) + f(at(upper + right) * dx));
        const below = f(f(at(lower + left) * before) + f(at(lower + right) * dx));
        pixels[(y * width + x) * 3 + c] = nearest(f(f(above * rest) + f(below * dy)));
      }
    }
  }
  return { pixels, scale };
}

/** The input as ImageData in which each of its pixels is a square of `times` x `times`.
 *
 *  MediaPipe answers in whole pixels of the picture it is given: the larger the picture, the finer its boxes. Each
 *  square has one colour, so the network's input is the same.
 */
export function enlarged(pixels, { height, width }, times) {
  const image = new ImageData(width * times, height * times);
  const words = new Uint32Array(image.data.buffer);
  for (let y = 0; y < height; y++) {
    const start = y * times * image.width;
    for (let x = 0; x < width; x++) {
      const i = (y * width + x) * 3;
      const colour = 0xff000000 | (pixels[i + 2] << 16) | (pixels[i + 1] << 8) | pixels[i];
      words.fill(colour, start + x * times, start + (x + 1) * times);
    }
    for (let row = 1; row < times; row++) words.copyWithin(start + row * image.width, start, start + image.width);
  }
  return image;
}

/** Per target position the two source positions around it, and the share of the second. */
function sampling(length, target) {
  const low = new Int32Array(target), high = new Int32Array(target), share = new Float32Array(target);
  const step = f(length / target);
  for (let i = 0; i < target; i++) {
    const centre = f(f(f(i + 0.5) * step) - 0.5), floor = Math.floor(centre);
    low[i] = Math.min(Math.max(floor, 0), length - 1);
    high[i] = Math.min(Math.max(floor + 1, 0), length - 1);
    share[i] = f(centre - floor);
  }
  return { low, high, share };
}

/** The nearest whole number, of two equally near ones the even. */
function nearest(value) {
  const floor = Math.floor(value), rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
