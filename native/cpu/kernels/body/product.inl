// The matrix product whose tile is kept in vector registers: both factors are packed alike.

constexpr ProductKernels kProduct = {
    .tileRows = kTileRows,
    .tileCols = kTileCols,
    .wordDepth = kWordDepth,
    .rowUnit = 1,
    .depthUnit = kDepthUnit,
    .rowBlock = 112 / kTileRows * kTileRows,
    .columnBlock = kColumnBlock,
    .depthBlock = 384,
    .residentB = kResidentB,
    .speed = 40.0 * kWordDepth,
    .tile = tile,
    .pack = pack,
    .packLeft = pack,
    .begin = nullptr,
    .end = nullptr,
};
