/* Ends one use of keys.def. No guard: it is included after each. */
#undef RECORD
#undef KEY_INT
#undef KEY_REAL
#undef KEY_SIZE
#undef KEY_BOOL
#undef KEY_WORD
#undef KEY_TEXT
#undef KEY_INTS
#undef KEY_PAIR
#undef KEY_REALS
#undef KEY_TEXTS
#undef KEY_SCALARS
#undef KEY_RECORD
#undef KEY_LIST
#undef RECORD_END
