// The communicator of a rank that is alone, for device memory: nobody to talk to, and so no NCCL to do it.
#pragma once

#include <memory>
#include <string>

#include "comm/comm.hpp"
#include "kernels/backend.hpp"

namespace sparrow {

class SelfComm final : public Comm {
 public:
  explicit SelfComm(Backend& backend) : backend_(backend) {}

  int rank() const override { return 0; }
  int size() const override { return 1; }

  /// Copies what the rank sends to itself, in the order of `stream`, which is not null.
  Ticket post(Stream* stream, const AllToAll& operation) override;
  void wait(Ticket) override {}  // later work of the stream comes after the copy in any case
  std::unique_ptr<Comm> split(int color, int key) override;

  const Traffic& traffic() const override { return traffic_; }
  double timeout_seconds() const override { return 0; }
  std::string name() const override { return "self"; }

 private:
  Backend& backend_;
  Traffic traffic_;  ///< stays 0: what goes to oneself is not counted
};

}  // namespace sparrow
