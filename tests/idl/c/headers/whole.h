/* What whole.vidl names. Names of the C library keep out of the way. */
#define open whl_open
#define close whl_close
