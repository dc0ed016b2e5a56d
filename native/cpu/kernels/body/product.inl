// The matrix product whose tile is kept in vector registers: both factors are packed alike.

constexpr ProductKernels kProduct = {
    .tileRows = kTileRows,
    .tileCols = kTileCols,
    .wordDepth = kWordDepth,
    .rowUnit = 1,
    .depthUnit = kDepthUnit,
    // A panel of b (depth x tileCols) and a block of a (rows x depth) share the cache next to the core.
    .rowBlock = 112 / kTileRows * kTileRows,
    .depthBlock = 384,
    .speed = 40.0 * kWordDepth,
    .tile = tile,
    .pack = pack,
    .packLeft = pack,
    .begin = nullptr,
    .end = nullptr,
};
