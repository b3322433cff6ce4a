/* Undoes what body_typed.h defines for a tile. No guard. */
#undef TM
#undef TN
#undef DOWN
#undef STEP
#undef TILED
#undef ACROSS
#undef EDGE_M
#undef EDGE_N
