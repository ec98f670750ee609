/* xoshiro256** 1.0 and splitmix64, as their authors published them (prng.di.unimi.it). */
#include "machine/random.h"

static u64 rotl(u64 v, unsigned n)
{
    return v << n | v >> (64 - n);
}

void random_seed(struct random *r, u64 seed)
{
    for (unsigned i = 0; i < 4; i++) {
        u64 z = seed += 0x9e3779b97f4a7c15ull;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ z >> 27) * 0x94d049bb133111ebull;
        r->s[i] = z ^ z >> 31;
    }
}

u64 random_next(struct random *r)
{
    u64 *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}
