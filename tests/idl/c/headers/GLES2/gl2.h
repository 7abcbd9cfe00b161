/* What glslice.vidl names; its prototypes are generated. */
