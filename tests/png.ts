/** Reads pictures as Chromium writes them: PNG with 8 bits of red, green and blue, perhaps of opacity, not interlaced. */

import { Buffer } from "node:buffer";
import { inflateSync } from "node:zlib";

/** A picture. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** How many pixels there are of each colour, as `#rrggbb`. */
  readonly colours: Map<string, number>;
}

/** Decodes a picture. */
export function decodePng(png: Buffer): Picture {
  if (png.subarray(0, 8).toString("latin1") !== "\x89PNG\r\n\x1a\n") throw new Error("This is no PNG");
  const parts: Buffer[] = [];
  let header: Buffer | undefined;
  for (let at = 8; at < png.length;) {
    const length = png.readUInt32BE(at);
    const type = png.subarray(at + 4, at + 8).toString("latin1");
    const data = png.subarray(at + 8, at + 8 + length);
    if (type === "IHDR") header = data;
    if (type === "IDAT") parts.push(data);
    at += length + 12;
  }
  const [width, height] = [header!.readUInt32BE(0), header!.readUInt32BE(4)];
  const [depth, colourType, , , interlaced] = header!.subarray(8);
  const size = { 2: 3, 6: 4 }[colourType!];
  if (depth !== 8 || size === undefined || interlaced !== 0) throw new Error("Chromium writes another kind of PNG now");
  const pixels = unfiltered(inflateSync(Buffer.concat(parts)), width * size, height, size);
  const colours = new Map<string, number>();
  for (let at = 0; at < pixels.length; at += size) {
    const colour = `#${pixels.subarray(at, at + 3).toString("hex")}`;
    colours.set(colour, (colours.get(colour) ?? 0) + 1);
  }
  return { width, height, colours };
}

/** Undoes what each line says was done to it, by the bytes to the left and above. */
function unfiltered(lines: Buffer, stride: number, height: number, size: number): Buffer {
  const pixels = Buffer.alloc(stride * height);
  for (let line = 0; line < height; line++) {
    const filter = lines[line * (stride + 1)]!;
    for (let column = 0; column < stride; column++) {
      const at = line * stride + column;
      const left = column < size ? 0 : pixels[at - size]!;
      const above = line === 0 ? 0 : pixels[at - stride]!;
      const corner = column < size || line === 0 ? 0 : pixels[at - stride - size]!;
      const predicted = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][filter]!;
      pixels[at] = lines[at + line + 1]! + predicted;
    }
  }
  return pixels;
}

/** Which of the three is nearest to what they let expect. */
function paeth(left: number, above: number, corner: number): number {
  const distance = (byte: number) => Math.abs(left + above - corner - byte);
  if (distance(left) <= distance(above) && distance(left) <= distance(corner)) return left;
  return distance(above) <= distance(corner) ? above : corner;
}
