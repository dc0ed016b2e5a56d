// Packing of the factors of a product into panels. A word holds kWordDepth values that follow each other along the depth, and
// zeros fill the depth up to a multiple of kDepthUnit words; the including file has said how words are made from floats:
//   wordsAlong(p, values)                the words of one line's next `values` <= kLanes * kWordDepth values
//   wordsAcross(p, depthStride, lines, depths)   one word each of `lines` <= kLanes neighbouring lines
// with zeros for what is missing.

// How many words `depth` values become.
RELIC_INLINE int64_t wordsOf(int64_t depth) {
  const int64_t words = (depth + kWordDepth - 1) / kWordDepth;
  return (words + kDepthUnit - 1) / kDepthUnit * kDepthUnit;
}

// Lines lie along the depth: blocks of kLanes lines by kLanes words are transposed. One panel of at most `width` lines.
static void packAcross(const float* in, int64_t lineStride, int lines, int64_t depth, int width, float* out) {
  constexpr int kValues = kLanes * kWordDepth;
  for (int64_t t = 0; t < depth; t += kValues, out += kLanes * width) {
    const int values = static_cast<int>(depth - t < kValues ? depth - t : kValues);
    const int words = static_cast<int>(wordsOf(values));
    for (int from = 0; from < width; from += kLanes) {
      Vec block[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; i++) {
        block[i] = from + i < lines ? wordsAlong(in + (from + i) * lineStride + t, values) : Vec{};
      }
      transpose(block);
      // A narrow panel's store runs into the next word, which is written after it; not so where a wide panel ends raggedly.
      const int used = width - from;
      for (int i = 0; i < words; i++) {
        if (used >= kLanes || from == 0) {
          store(out + from + i * width, block[i]);
        } else {
          storePart(out + from + i * width, block[i], used);
        }
      }
    }
  }
}

// Lines lie side by side: `depth` rows of one panel are copied. Nothing from `end` on may be read.
static void packAlong(const float* in, const float* end, int64_t depthStride, int lines, int64_t depth, int width,
                      float* out) {
  const int64_t step = kWordDepth * depthStride;
  int64_t words = (depth + kWordDepth - 1) / kWordDepth;
  if (lines == width && width % kLanes == 0) {
    for (; depth >= kWordDepth; depth -= kWordDepth, words--, in += step, out += width) {
      for (int i = 0; i < width; i += kLanes) store(out + i, wordsAcross(in + i, depthStride, kLanes, kWordDepth));
    }
  } else if (lines == width && width < kLanes) {
    // What is read beyond the panel is written over by the next word.
    for (; words > 1 && in + step - depthStride + kLanes <= end; depth -= kWordDepth, words--, in += step, out += width) {
      store(out, wordsAcross(in, depthStride, kLanes, kWordDepth));
    }
  }
  for (; words > 0; depth -= kWordDepth, words--, in += step, out += width) {
    const int depths = static_cast<int>(depth < kWordDepth ? depth : kWordDepth);
    for (int from = 0; from < width; from += kLanes) {
      const int left = lines - from;
      const Vec v = wordsAcross(in + from, depthStride, left >= kLanes ? kLanes : (left > 0 ? left : 0), depths);
      const int used = width - from;
      // Behind the last word may lie another panel.
      if (used >= kLanes || (from == 0 && words > 1)) {
        store(out + from, v);
      } else {
        storePart(out + from, v, used);
      }
    }
  }
}

static void pack(const float* in, int64_t lineStride, int64_t depthStride, int64_t lines, int64_t depth, int width,
                 float* out) {
  const auto linesFrom = [=](int64_t line) { return static_cast<int>(lines - line < width ? lines - line : width); };
  const int64_t words = wordsOf(depth);
  if (lineStride != 1) {
    for (int64_t line = 0; line < lines; line += width) {
      packAcross(in + line * lineStride, lineStride, linesFrom(line), depth, width, out + line * words);
    }
    return;
  }
  // A few rows at a time from end to end: down a whole panel, every row would be on another page.
  constexpr int64_t kRows = 8;
  static_assert(kRows % kWordDepth == 0);
  const float* end = in + (depth - 1) * depthStride + lines;
  for (int64_t t = 0; t < depth; t += kRows) {
    const int64_t rows = depth - t < kRows ? depth - t : kRows;
    for (int64_t line = 0; line < lines; line += width) {
      packAlong(in + t * depthStride + line, end, depthStride, linesFrom(line), rows, width,
                out + line * words + t / kWordDepth * width);
    }
  }
  if constexpr (kDepthUnit > 1) {
    for (int64_t line = 0; line < lines; line += width) {
      for (int64_t i = (depth + kWordDepth - 1) / kWordDepth * width; i < words * width; i++) out[line * words + i] = 0;
    }
  }
}
