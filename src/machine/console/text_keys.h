/* What a terminal sends for keys, made into what a PC's keyboard sends for them. See text_keys.c. */
#ifndef MACHINE_CONSOLE_TEXT_KEYS_H
#define MACHINE_CONSOLE_TEXT_KEYS_H

#include "base/types.h"

#define KEY_CODES_MAX 16

/* One stroke: modifiers and key go down and up again, in scan code set 2. */
struct key_stroke {
    u8 codes[KEY_CODES_MAX];
    size_t n;
};

/* Takes the first key from N bytes of a terminal: returns how many they were. 0: they may be the beginning of more; never when LAST is set (nothing
 * followed for a while: an Escape is the key of that name). No key is known for them: K has no codes. */
size_t text_key(const u8 *bytes, size_t n, bool last, struct key_stroke *k);

#endif
