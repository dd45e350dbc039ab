#!/usr/bin/env python3
"""Writes portable.txt: functions of Float64, correctly rounded by MPFR.

    python3 make_portable_fixtures.py

needs MPFR's shared library (Debian: libmpfr6), which every gcc brings. A line is a function's name, the
bits of its arguments and the bits of its value, in hexadecimal digits; `pown` has an integer for its
second argument.
"""
import ctypes
import math
import pathlib
import random
import struct

mpfr = ctypes.CDLL("libmpfr.so.6")
NEAREST, PRECISION = 0, 400


class Number(ctypes.Structure):
    _fields_ = [("precision", ctypes.c_long), ("sign", ctypes.c_int),
                ("exponent", ctypes.c_long), ("limbs", ctypes.c_void_p)]


mpfr.mpfr_set_d.argtypes = [ctypes.c_void_p, ctypes.c_double, ctypes.c_int]
mpfr.mpfr_get_d.restype = ctypes.c_double
mpfr.mpfr_get_d.argtypes = [ctypes.c_void_p, ctypes.c_int]


def number(value=0.0):
    result = Number()
    mpfr.mpfr_init2(ctypes.byref(result), PRECISION)
    mpfr.mpfr_set_d(ctypes.byref(result), value, NEAREST)
    return result


def call(name, *numbers):
    getattr(mpfr, name)(*[ctypes.byref(each) for each in numbers], NEAREST)


def log(x):
    result, argument = number(), number(x)
    call("mpfr_log", result, argument)
    return mpfr.mpfr_get_d(ctypes.byref(result), NEAREST)


def of_half_turns(name, x):
    result, argument, pi = number(), number(x), number()
    call("mpfr_const_pi", pi)
    call("mpfr_mul", argument, argument, pi)  # exact but for pi: 400 bits
    call(name, result, argument)
    return mpfr.mpfr_get_d(ctypes.byref(result), NEAREST)


def pown(x, n):
    result, argument, exponent = number(), number(x), number(float(n))
    call("mpfr_pow", result, argument, exponent)
    return mpfr.mpfr_get_d(ctypes.byref(result), NEAREST)


def bits(x):
    return struct.pack(">d", x).hex()


def main():
    draw = random.Random(1)
    lines = []
    arguments = [1.0, 2.0, math.e, 0.5, math.nextafter(1, 0), math.nextafter(1, 2), 5e-324,
                 2.2250738585072014e-308, 1.7976931348623157e308, 1e-300, 2.0 ** -32, 1 - 2.0 ** -32]
    arguments += [draw.random() for _ in range(300)]
    arguments += [1 + (draw.random() - 0.5) * 2.0 ** -draw.randrange(40) for _ in range(300)]
    arguments += [math.exp(draw.uniform(-700, 700)) for _ in range(200)]
    arguments += [2.0 ** draw.uniform(-1, 1) for _ in range(300)]
    lines += [f"log {bits(x)} {bits(log(x))}" for x in arguments]
    arguments = [0.125, 0.375, 1 / 3, 1e-20, 5e-324, 1.9999999999999998, 123456.789, 2.0 ** 40 + 0.3]
    arguments += [draw.random() * 2 for _ in range(500)]
    arguments += [draw.uniform(-50, 50) for _ in range(100)]
    arguments += [k / 4 + (draw.random() - 0.5) * 2.0 ** -draw.randrange(45)
                  for k in range(9) for _ in range(20)]
    for name, function in [("sinPi", "mpfr_sin"), ("cosPi", "mpfr_cos")]:
        lines += [f"{name} {bits(x)} {bits(of_half_turns(function, x))}" for x in arguments]
    powers = [(draw.uniform(0.01, 3), draw.randrange(0, 30)) for _ in range(200)]
    powers += [(0.1, n) for n in range(20)] + [(0.5, 1074), (0.97, 300), (-0.3, 7), (1.01, 5000)]
    lines += [f"pown {bits(x)} {n} {bits(pown(x, n))}" for x, n in powers]
    path = pathlib.Path(__file__).with_name("portable.txt")
    path.write_text("\n".join(lines) + "\n")


main()
