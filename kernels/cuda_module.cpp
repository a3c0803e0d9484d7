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

/// The function `name` of a module that a build has when it has found `toolkit`.
template <class Function>
Function* load_function(const std::string& directory, const char* module_name, const char* toolkit, const char* name) {
  const std::string path = fmt::format("{}/{}", directory.empty() ? folder_of_program() : directory, module_name);
  if (access(path.c_str(), F_OK) != 0) fail("{} does not exist (was this built without {}?)", path, toolkit);
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!module) fail("{}", dlerror());
  auto* function = reinterpret_cast<Function*>(dlsym(module, name));
  if (!function) fail("{} has no {}: {}", path, name, dlerror());
  return function;
}

template <class Function>
Function* load_cuda(const std::string& directory, const char* name) {
  return load_function<Function>(directory, "libsparrow_cuda.so", "the CUDA Toolkit", name);
}

}  // namespace

std::vector<CudaDevice> list_cuda_devices(const std::string& directory) {
  std::vector<CudaDevice> devices;
  load_cuda<decltype(sparrow_list_cuda_devices)>(directory, "sparrow_list_cuda_devices")(&devices);
  return devices;
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options, const std::string& directory) {
  const auto make = load_cuda<decltype(sparrow_make_cuda_backend)>(directory, "sparrow_make_cuda_backend");
  return std::unique_ptr<Backend>(make(&options));
}

MakeNcclComm* find_nccl(const std::string& directory) {
  return load_function<MakeNcclComm>(directory, "libsparrow_nccl.so", "NCCL", "sparrow_make_nccl_comm");
}

}  // namespace sparrow
