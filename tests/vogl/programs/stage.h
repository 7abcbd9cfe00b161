/*
 * What the programs of this folder share: a pbuffer, a context, shaders, and a picture that is
 * written to a file. Plain EGL and OpenGL ES 2.0; nothing here knows where the pixels are made.
 */
#ifndef STAGE_H
#define STAGE_H

#include <EGL/egl.h>
#include <GLES2/gl2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Stage {
    EGLDisplay display;
    EGLConfig config;
    EGLSurface surface;
    EGLContext context;
    int width, height;
    FILE* picture; /* every frame, bottom row first, RGBA */
    FILE* log;     /* what GL said */
} Stage;

static void stage_die(const char* what) {
    fprintf(stderr, "%s: EGL error 0x%x\n", what, (unsigned)eglGetError());
    exit(2);
}

static void stage_context(Stage* stage, EGLContext share) {
    static const EGLint version[] = {EGL_CONTEXT_CLIENT_VERSION, 2, EGL_NONE};
    const EGLint size[] = {EGL_WIDTH, stage->width, EGL_HEIGHT, stage->height, EGL_NONE};
    stage->surface = eglCreatePbufferSurface(stage->display, stage->config, size);
    if (stage->surface == EGL_NO_SURFACE) stage_die("eglCreatePbufferSurface");
    stage->context = eglCreateContext(stage->display, stage->config, share, version);
    if (stage->context == EGL_NO_CONTEXT) stage_die("eglCreateContext");
    if (!eglMakeCurrent(stage->display, stage->surface, stage->surface, stage->context))
        stage_die("eglMakeCurrent");
    glViewport(0, 0, stage->width, stage->height);
    glClear(GL_COLOR_BUFFER_BIT | GL_DEPTH_BUFFER_BIT); /* what a new surface holds is nobody's word */
}

static void stage_display(Stage* stage) {
    static const EGLint wanted[] = {EGL_SURFACE_TYPE, EGL_PBUFFER_BIT,
                                    EGL_RENDERABLE_TYPE, EGL_OPENGL_ES2_BIT,
                                    EGL_RED_SIZE, 8, EGL_GREEN_SIZE, 8, EGL_BLUE_SIZE, 8,
                                    EGL_ALPHA_SIZE, 8, EGL_DEPTH_SIZE, 16, EGL_NONE};
    EGLint count = 0;
    stage->display = eglGetDisplay(EGL_DEFAULT_DISPLAY);
    if (!eglInitialize(stage->display, NULL, NULL)) stage_die("eglInitialize");
    if (!eglBindAPI(EGL_OPENGL_ES_API)) stage_die("eglBindAPI");
    if (!eglChooseConfig(stage->display, wanted, &stage->config, 1, &count) || count != 1)
        stage_die("eglChooseConfig");
}

static void stage_open(Stage* stage, int width, int height, const char* base) {
    char name[4096];
    memset(stage, 0, sizeof *stage);
    stage->width = width;
    stage->height = height;
    snprintf(name, sizeof name, "%s.rgba", base);
    stage->picture = fopen(name, "wb");
    snprintf(name, sizeof name, "%s.txt", base);
    stage->log = fopen(name, "w");
    if (stage->picture == NULL || stage->log == NULL) {
        perror(name);
        exit(2);
    }
    stage_display(stage);
    stage_context(stage, EGL_NO_CONTEXT);
}

static void stage_read(const Stage* stage, unsigned char* pixels) {
    GLint alignment = 0;
    glGetIntegerv(GL_PACK_ALIGNMENT, &alignment);
    glPixelStorei(GL_PACK_ALIGNMENT, 1);
    glReadPixels(0, 0, stage->width, stage->height, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
    glPixelStorei(GL_PACK_ALIGNMENT, alignment);
}

/* The frame goes to the file, then to the screen that is not there. */
static void stage_frame(Stage* stage) {
    const size_t bytes = (size_t)stage->width * (size_t)stage->height * 4;
    unsigned char* pixels = malloc(bytes);
    stage_read(stage, pixels);
    fwrite(pixels, 1, bytes, stage->picture);
    free(pixels);
    fprintf(stage->log, "frame: error 0x%04x\n", glGetError());
    if (!eglSwapBuffers(stage->display, stage->surface)) stage_die("eglSwapBuffers");
}

static void stage_close(Stage* stage) {
    eglMakeCurrent(stage->display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
    eglDestroyContext(stage->display, stage->context);
    eglDestroySurface(stage->display, stage->surface);
    eglTerminate(stage->display);
    if (stage->picture != NULL) fclose(stage->picture);
    if (stage->log != NULL) fclose(stage->log);
}

static GLuint stage_shader(GLenum type, const char* text) {
    const GLuint shader = glCreateShader(type);
    GLint fine = 0;
    glShaderSource(shader, 1, &text, NULL);
    glCompileShader(shader);
    glGetShaderiv(shader, GL_COMPILE_STATUS, &fine);
    if (!fine) {
        char words[1024];
        glGetShaderInfoLog(shader, sizeof words, NULL, words);
        fprintf(stderr, "%s", words);
        exit(2);
    }
    return shader;
}

/* Attributes `place` at 0 and `extra` at 1. */
static GLuint stage_link(GLuint vertex, GLuint fragment) {
    const GLuint program = glCreateProgram();
    GLint fine = 0;
    glAttachShader(program, vertex);
    glAttachShader(program, fragment);
    glBindAttribLocation(program, 0, "place");
    glBindAttribLocation(program, 1, "extra");
    glLinkProgram(program);
    glGetProgramiv(program, GL_LINK_STATUS, &fine);
    if (!fine) {
        fprintf(stderr, "the program does not link\n");
        exit(2);
    }
    glUseProgram(program);
    return program;
}

static GLuint stage_program(const char* vertex, const char* fragment) {
    return stage_link(stage_shader(GL_VERTEX_SHADER, vertex), stage_shader(GL_FRAGMENT_SHADER, fragment));
}

static const char* const colour_vertex =
    "attribute vec2 place; attribute vec4 extra; varying vec4 colour;\n"
    "uniform vec2 shift;\n"
    "void main() { colour = extra; gl_Position = vec4(place + shift, 0.0, 1.0); }\n";
static const char* const colour_fragment =
    "precision mediump float; varying vec4 colour;\n"
    "void main() { gl_FragColor = colour; }\n";
static const char* const texture_vertex =
    "attribute vec2 place; varying vec2 at; uniform vec4 box;\n"
    "void main() { at = place; gl_Position = vec4(box.xy + place * box.zw, 0.0, 1.0); }\n";
static const char* const texture_fragment =
    "precision mediump float; varying vec2 at; uniform sampler2D texels;\n"
    "void main() { gl_FragColor = texture2D(texels, at); }\n";

#endif
