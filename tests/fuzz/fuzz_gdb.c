/* The gdb stub on an arbitrary stream of bytes. A byte 0 frames what follows, up to the next 0, as a packet
 * with a right checksum, so that the fuzzer gets behind the framing; everything else goes in raw. */
#include <stdlib.h>

#include "../unit/gdb_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gdb_rig rig;
    static u8 frame[GDB_FRAME_MAX], out[4 * GDB_FRAME_MAX];
    gdb_rig_init(&rig);
    rig.stop_at_once = true;
    for (size_t i = 0; i < size;) {
        size_t n = 0, max = size - i - 1 < GDB_PACKET_MAX ? size - i - 1 : GDB_PACKET_MAX;
        if (data[i]) {
            gdb_input(rig.gdb, data + i++, 1);
            continue;
        }
        while (n < max && data[i + 1 + n])
            n++;
        gdb_input(rig.gdb, frame, gdb_frame(frame, data + i + 1, n));
        gdb_output(rig.gdb, out, sizeof out);
        if (gdb_running(rig.gdb))
            gdb_stopped(rig.gdb, 0, 5, (struct point_hit){0});
        i += 1 + n;
    }
    if (rig.points.fetch_n > POINTS_MAX || rig.points.data_n > POINTS_MAX)
        abort();
    gdb_rig_free(&rig);
    return 0;
}
