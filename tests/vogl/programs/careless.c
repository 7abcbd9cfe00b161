/* Mistakes that would crash a program beside its GL: here they are the server's to survive. */
#include "stage.h"

int main(int count, char** words) {
    static const GLubyte indices[] = {0, 1, 200};
    const GLfloat places[] = {-1, -1, 1, -1, 0, 1};
    Stage stage;
    GLuint buffer;

    (void)count;
    stage_open(&stage, 16, 16, words[1]);
    stage_program(colour_vertex, colour_fragment);
    glEnableVertexAttribArray(0);
    glDrawArrays(GL_TRIANGLES, 0, 3); /* an array that was never described */
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, NULL);
    glDrawArrays(GL_TRIANGLES, 0, 3);
    glDrawElements(GL_TRIANGLES, 3, GL_UNSIGNED_SHORT, NULL); /* no indices */
    glGenBuffers(1, &buffer);
    glBindBuffer(GL_ARRAY_BUFFER, buffer);
    glBufferData(GL_ARRAY_BUFFER, 8, places, GL_STATIC_DRAW);
    glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, 0, (void*)(size_t)0x10000000);
    glDrawArrays(GL_TRIANGLES, 0, 30000); /* far beyond the buffer */
    glDrawElements(GL_TRIANGLES, 3, GL_UNSIGNED_BYTE, indices);
    glBindBuffer(GL_ELEMENT_ARRAY_BUFFER, buffer);
    glDrawElements(GL_TRIANGLES, 3000, GL_UNSIGNED_INT, (void*)(size_t)0x7FFFFF00);
    glDeleteBuffers(1, &buffer);
    glDrawArrays(GL_TRIANGLES, 0, 3); /* its array has no buffer any more */
    glBufferData(0x88EC, 64, NULL, GL_STATIC_DRAW); /* a target of another version */
    glPixelStorei(0x0CF2, 1 << 20);                 /* a row length of another version */
    glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA, 2, 2, 0, GL_RGBA, GL_UNSIGNED_BYTE, places);
    while (glGetError() != GL_NO_ERROR) continue;
    stage_frame(&stage);
    stage_close(&stage);
    return 0;
}
