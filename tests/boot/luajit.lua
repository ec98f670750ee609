-- Fixed work for a language that makes its machine code as it runs: luajit.sh runs it natively and in a VM. A line for each piece: what it computed, and its CPU time.
-- usage: luajit luajit.lua SCALE
local scale = tonumber(arg[1]) or 1
local bit, ffi = require("bit"), require("ffi")

local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end

local function sieve(n)
    local composite, count = ffi.new("uint8_t[?]", n + 1), 0
    for i = 2, n do
        if composite[i] == 0 then
            count = count + 1
            for j = i * i, n, i do composite[j] = 1 end
        end
    end
    return count
end

local function numbers(n)
    local x, y, s = 0.5, 0.25, 0
    for i = 1, n do
        x, y = math.sin(x) + y * 0.3, math.sqrt(x * x + y * y + 1) - 1
        s = s + x * y
    end
    return string.format("%.12g", s)
end

local function tables(n)
    local t, h = {}, 17
    for i = 1, n do
        h = bit.tobit(h * 1103 + 12345)
        t[i] = { key = bit.band(h, 0xffff), name = "n" .. i }
    end
    table.sort(t, function(a, b) return a.key < b.key or (a.key == b.key and a.name < b.name) end)
    local s = 0
    for i = 1, n, 7 do s = bit.bxor(bit.rol(s, 5), t[i].key + #t[i].name) end
    return s
end

-- Every function is source text first, gets hot, and is compiled to a page where the others are: traces, side traces (exits are patched into code that
-- exists), and now and then all of them are thrown away and their memory is used again.
local function generated(n)
    local s = 0
    for i = 1, n do
        local f = assert(loadstring(string.format(
            "return function(n) local s = %d for i = 1, n do if i %% %d == 0 then s = s + i else s = s - %d end end return s end", i, i % 7 + 2, i % 13)))()
        s = (s * 31 + f(120)) % 2147483647
        if i % 100 == 0 then jit.flush() end
    end
    return s
end

local function coroutines(n)
    local function producer() for i = 1, n do coroutine.yield(i * i % 1009) end return -1 end
    local next, s = coroutine.wrap(producer), 0
    while true do
        local v = next()
        if v < 0 then return s end
        s = (s * 7 + v) % 1000003
    end
end

-- C calls Lua: the machine code of the way back is made too.
ffi.cdef "void qsort(void *, size_t, size_t, int (*)(const int *, const int *));"
local function callbacks(n)
    local a, h = ffi.new("int[?]", n), 1
    for i = 0, n - 1 do
        h = bit.tobit(h * 69069 + 1)
        a[i] = bit.rshift(h, 8)
    end
    local compare = ffi.cast("int (*)(const int *, const int *)", function(x, y) return x[0] - y[0] end)
    ffi.C.qsort(a, n, 4, compare)
    compare:free()
    local s = 0
    for i = 0, n - 1 do s = bit.bxor(bit.rol(s, 3), a[i]) end
    return s
end

-- Machine code of our own in a page that can be written and executed: MOV EAX, imm32; RET. What LuaJIT itself patches, exits that lead on, would work unpatched.
ffi.cdef "void *mmap(void *, size_t, int, int, int, long);"
local function patched(n)
    local page = ffi.cast("uint8_t *", ffi.C.mmap(nil, 4096, 7, 0x22, -1, 0))
    page[0], page[5] = 0xb8, 0xc3
    local value, call, s = ffi.cast("int32_t *", page + 1), ffi.cast("int (*)(void)", page), 0
    for i = 1, n do
        value[0] = i * 3
        s = s + call()
    end
    return s
end

local work = {
    { "fib", fib, 20, 3 }, { "sieve", sieve, 60000 }, { "numbers", numbers, 60000 }, { "tables", tables, 3000 },
    { "generated", generated, 300 }, { "coroutines", coroutines, 10000 }, { "callbacks", callbacks, 1500 },
    { "patched", patched, 5000 },
}
for _, w in ipairs(work) do
    local name, f, n, more = unpack(w)
    local start = os.clock()
    local r = f(more and n + math.floor(math.log(scale) / math.log(1.618) + 0.5) or n * scale)
    print("result " .. name .. " " .. r)
    print(string.format("time %s %.0f us", name, (os.clock() - start) * 1e6))
end
print("jit " .. (jit.status() and "on" or "off"))
