#include "kernels/cuda_module.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "base/error.hpp"

namespace sparrow {

namespace {
std::string folder_of_program() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) fail("/proc/self/exe: {}", error.message());
  return program.parent_path().string();
}
}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options, const std::string& directory) {
  const std::string path = (directory.empty() ? folder_of_program() : directory) + "/libsparrow_cuda.so";
  if (access(path.c_str(), F_OK) != 0)
    fail("no CUDA backend: {} does not exist (was this built without the CUDA Toolkit?)", path);
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!module) fail("no CUDA backend: {}", dlerror());
  auto* make = reinterpret_cast<decltype(&sparrow_make_cuda_backend)>(dlsym(module, "sparrow_make_cuda_backend"));
  if (!make) fail("no CUDA backend: {}", dlerror());
  return std::unique_ptr<Backend>(make(&options));
}

}  // namespace sparrow
