// Single instructions: each kernel writes what an instruction gives, and the test computes the same in C++.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>
#include <cmath>
#include <functional>

#include "test/cuda_emulator/device_array.cuh"

using namespace sparrow::emulator::test;

namespace {

constexpr int kThreads = 32;

__constant__ float constants[4];
__device__ int device_variable = 5;

__device__ __noinline__ float sum_of_multiples(float a, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += a * i;
  return sum;
}

__global__ void functions_kernel(const float* x, float* out) {
  const int t = threadIdx.x;
  const float v = x[t];
  out[t] = expf(v) + logf(v + 1) + tanhf(v) + rsqrtf(v + 1) + 1.0f / (1.0f + __expf(-v));
  out[kThreads + t] = powf(v + 1, 1.5f) + log1pf(v) + fabsf(-v) + fmaxf(v, 3.0f) + static_cast<float>(v / 3.0);
}

__global__ void memory_spaces_kernel(const float* x, float* out) {
  const int t = threadIdx.x;
  float local[8];
  for (int i = 0; i < 8; ++i) local[i] = x[t] * i;
  out[t] = local[t * 3 & 7] + sum_of_multiples(x[t], t) + constants[t & 3] + device_variable;
}

__global__ void integers_kernel(uint32_t* out) {
  const uint32_t t = threadIdx.x;
  const uint64_t wide = uint64_t{t} * 6364136223846793005u;
  const uint32_t results[] = {__umulhi(t * 123456789u, 987654321u),
                              static_cast<uint32_t>(__clz(static_cast<int>(t + 1))),
                              static_cast<uint32_t>(__ffs(static_cast<int>(t))),
                              __brev(t),
                              static_cast<uint32_t>(wide >> 40),
                              __byte_perm(0x01020304u * t, 0x05060708u, 0x7531),
                              __funnelshift_l(t, t * 77u, 5),
                              static_cast<uint32_t>(__dp4a(static_cast<int>(0x01020304u * t), 0x01010101, 7)),
                              static_cast<uint32_t>(static_cast<int>(t - 16) / 3),
                              static_cast<uint32_t>(static_cast<int>(t - 16) % 5),
                              __popc(t * 2654435761u)};
  for (uint32_t k = 0; k < 11; ++k) out[k * kThreads + t] = results[k];
}

__global__ void fields_kernel(const uint32_t* in, uint32_t* out) {
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0x96;" : "=r"(result) : "r"(in[0]), "r"(in[1]), "r"(in[2]));
  out[0] = result;
  asm("bfe.s32 %0, %1, 4, 8;" : "=r"(result) : "r"(in[0]));
  out[1] = result;
  asm("bfi.b32 %0, %1, %2, 8, 4;" : "=r"(result) : "r"(in[0]), "r"(in[1]));
  out[2] = result;
  asm("prmt.b32 %0, %1, %2, 0x5410;" : "=r"(result) : "r"(in[0]), "r"(in[1]));
  out[3] = result;
}

__global__ void rounding_kernel(const float* x, float* out) {
  const int t = threadIdx.x;
  out[t] = __fadd_rd(x[t], 1e-9f);
  out[kThreads + t] = __fadd_ru(x[t], 1e-9f);
  out[2 * kThreads + t] = static_cast<float>(__float2int_rd(x[t]));
  out[3 * kThreads + t] = static_cast<float>(__float2int_rn(x[t] * 1e20f));  // beyond the range: its end
}

__global__ void bf16_kernel(const float* x, uint16_t* bits, float* doubled) {
  const int t = threadIdx.x;
  const __nv_bfloat16 h = __float2bfloat16(x[t]);
  bits[t] = __bfloat16_as_ushort(h);
  doubled[t] = __bfloat162float(__hadd(h, h));
}

__global__ void half_kernel(const float* x, float* out) {
  const int t = threadIdx.x;
  __half2 pair = __floats2half2_rn(x[t], x[t] + 1);
  pair = __hfma2(pair, pair, pair);
  out[t] = __low2float(pair) + __high2float(pair);
}

__global__ void atomics_kernel(float* f, int* i, unsigned long long* u, double* d) {
  const int t = threadIdx.x;
  atomicAdd(f, 0.5f);
  atomicAdd(d, 0.25);
  atomicMax(i, t);
  atomicMin(i + 1, t);
  atomicOr(reinterpret_cast<unsigned*>(i) + 2, 1u << (t & 31));
  atomicExch(i + 3, 7);
  atomicSub(i + 4, 1);
  atomicInc(reinterpret_cast<unsigned*>(i) + 5, 100);
  atomicAdd(u, 1ull);
  atomicCAS(u + 1, 0ull, 99ull);
}

std::vector<float> ramp(float step) {
  std::vector<float> x(kThreads);
  for (int t = 0; t < kThreads; ++t) x[static_cast<size_t>(t)] = static_cast<float>(t) * step;
  return x;
}

}  // namespace

TEST_CASE("Mathematical functions agree with the C library") {
  const std::vector<float> x = ramp(0.1f);
  const DeviceArray<float> in(x), out(2 * kThreads);
  functions_kernel<<<1, kThreads>>>(in.data(), out.data());
  const std::vector<float> values = out.values();
  for (size_t t = 0; t < kThreads; ++t) {
    const double a = x[t];
    // Five terms, each within two roundings of 2^-24 of at most exp(3.1) = 22, and the fast exponential's 2^-21.
    CHECK(values[t] ==
          Approx(std::exp(a) + std::log(a + 1) + std::tanh(a) + 1 / std::sqrt(a + 1) + 1 / (1 + std::exp(-a)))
              .margin(1e-4));
    CHECK(values[kThreads + t] ==
          Approx(std::pow(a + 1, 1.5) + std::log1p(a) + a + std::fmax(a, 3) + a / 3).margin(1e-4));
  }
}

TEST_CASE("Local arrays, constants, device variables and calls of functions work") {
  const std::vector<float> x = ramp(0.1f);
  const float c[4] = {1, 2, 3, 4};
  REQUIRE(cudaMemcpyToSymbol(constants, c, sizeof c) == cudaSuccess);
  const DeviceArray<float> in(x), out(kThreads);
  memory_spaces_kernel<<<1, kThreads>>>(in.data(), out.data());
  const std::vector<float> values = out.values();
  for (size_t t = 0; t < kThreads; ++t) {
    float sum = 0;
    for (size_t i = 0; i < t; ++i) sum += x[t] * static_cast<float>(i);
    CHECK(values[t] == Approx(x[t] * static_cast<float>(t * 3 & 7) + sum + c[t & 3] + 5));
  }
}

TEST_CASE("Integer instructions are exact") {
  const DeviceArray<uint32_t> out(11 * kThreads);
  integers_kernel<<<1, kThreads>>>(out.data());
  const std::vector<uint32_t> values = out.values();
  for (uint32_t t = 0; t < kThreads; ++t) {
    const auto reversed = [](uint32_t v) {
      uint32_t r = 0;
      for (int bit = 0; bit < 32; ++bit) r |= (v >> bit & 1) << (31 - bit);
      return r;
    };
    const uint32_t a = 0x01020304u * t, b = 0x05060708u;
    int dot = 7;
    for (int k = 0; k < 4; ++k) dot += static_cast<int8_t>(a >> 8 * k);
    const int n = static_cast<int>(t) - 16;
    const uint32_t expected[] = {static_cast<uint32_t>((uint64_t{t * 123456789u} * 987654321u) >> 32),
                                 static_cast<uint32_t>(std::countl_zero(t + 1)),
                                 t ? static_cast<uint32_t>(std::countr_zero(t)) + 1 : 0,
                                 reversed(t),
                                 static_cast<uint32_t>((uint64_t{t} * 6364136223846793005u) >> 40),
                                 (a >> 8 & 255) | (a >> 24 & 255) << 8 | (b >> 8 & 255) << 16 | (b >> 24 & 255) << 24,
                                 t * 77u << 5 | t >> 27,
                                 static_cast<uint32_t>(dot),
                                 static_cast<uint32_t>(n / 3),
                                 static_cast<uint32_t>(n % 5),
                                 static_cast<uint32_t>(std::popcount(t * 2654435761u))};
    for (uint32_t k = 0; k < 11; ++k) {
      INFO("instruction " << k << ", thread " << t);
      CHECK(values[k * kThreads + t] == expected[k]);
    }
  }
}

TEST_CASE("Bit fields, byte permutations and functions of three bits are exact") {
  const uint32_t a = 0xdeadbeef, b = 0x12345678, c = 0x0f0f0f0f;
  const DeviceArray<uint32_t> in({a, b, c}), out(4);
  fields_kernel<<<1, 1>>>(in.data(), out.data());
  const auto extended = static_cast<uint32_t>(static_cast<int8_t>(a >> 4));
  CHECK(out.values() ==
        std::vector<uint32_t>{a ^ b ^ c, extended, (b & ~0xf00u) | (a & 15) << 8, (b & 0xffff) << 16 | (a & 0xffff)});
}

TEST_CASE("Directed rounding and conversion to integers follow the manual") {
  std::vector<float> x = ramp(0.75f);
  for (size_t t = 0; t < kThreads; t += 2) x[t] = -x[t];
  const DeviceArray<float> in(x), out(4 * kThreads);
  rounding_kernel<<<1, kThreads>>>(in.data(), out.data());
  const std::vector<float> values = out.values();
  for (size_t t = 1; t < kThreads; ++t) {  // 1e-9 is less than half the distance of x and its neighbours
    CHECK(values[t] == (x[t] > 0 ? x[t] : x[t]));
    CHECK(values[kThreads + t] == std::nextafter(x[t], INFINITY));
    CHECK(values[2 * kThreads + t] == std::floor(x[t]));
    CHECK(values[3 * kThreads + t] == (x[t] > 0 ? 2147483648.0f : -2147483648.0f));
  }
}

TEST_CASE("bf16 rounds to nearest even") {
  const std::vector<float> x{1.0f, 1.00390625f, 1.01171875f, 1.0039063f, -2.5f, 3.0e38f, 0.0f, 1e-40f};
  const DeviceArray<float> in(x), doubled(x.size());
  const DeviceArray<uint16_t> bits(x.size());
  bf16_kernel<<<1, static_cast<unsigned>(x.size())>>>(in.data(), bits.data(), doubled.data());
  const std::vector<uint16_t> got = bits.values();
  for (size_t k = 0; k < x.size(); ++k) {
    const auto word = std::bit_cast<uint32_t>(x[k]);
    CHECK(got[k] == static_cast<uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16));
  }
}

TEST_CASE("Pairs of halves are multiplied and added with one rounding") {
  const std::vector<float> x = ramp(0.25f);
  const DeviceArray<float> in(x), out(kThreads);
  half_kernel<<<1, kThreads>>>(in.data(), out.data());
  const std::vector<float> values = out.values();
  for (size_t t = 0; t < kThreads; ++t) {  // all exact in half: multiples of 1/16 below 128
    const float a = x[t], b = x[t] + 1;
    CHECK(values[t] == a * a + a + b * b + b);
  }
}

TEST_CASE("Atomic operations of many blocks lose nothing") {
  const DeviceArray<float> f({0.0f});
  const DeviceArray<double> d({0.0});
  const DeviceArray<int> i({-5, 1000, 0, 0, 0, 0});
  const DeviceArray<unsigned long long> u({0, 0});
  atomics_kernel<<<2, 64>>>(f.data(), i.data(), u.data(), d.data());
  CHECK(f.values() == std::vector<float>{64.0f});
  CHECK(d.values() == std::vector<double>{32.0});
  CHECK(i.values() == std::vector<int>{63, 0, -1, 7, -128, 128 % 101});
  CHECK(u.values() == std::vector<unsigned long long>{128, 99});
}
