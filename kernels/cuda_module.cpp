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

/// The module's function `name`.
template <class Function>
Function* load_function(const std::string& directory, const char* name) {
  const std::string path = (directory.empty() ? folder_of_program() : directory) + "/libsparrow_cuda.so";
  if (access(path.c_str(), F_OK) != 0) {
    fail("no CUDA backend: {} does not exist (was this built without the CUDA Toolkit?)", path);
  }
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!module) fail("no CUDA backend: {}", dlerror());
  auto* function = reinterpret_cast<Function*>(dlsym(module, name));
  if (!function) fail("{} has no {}: {}", path, name, dlerror());
  return function;
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options, const std::string& directory) {
  const auto make = load_function<decltype(sparrow_make_cuda_backend)>(directory, "sparrow_make_cuda_backend");
  return std::unique_ptr<Backend>(make(&options));
}

MakeNcclComm* find_nccl(const std::string& directory) {
  return load_function<MakeNcclComm>(directory, "sparrow_make_nccl_comm");
}

}  // namespace sparrow
