// Rows between ranks, in the type of the wire: pack or convert, post, wait, convert. Rows, gradients and sums of every
// kind travel by it; whoever has rows to send says where they are, and gets those that came in.
//
// In fp32 nothing is copied that can be sent or received in place. Example, bf16 on the wire, rank 0 has the block
// [a | b c] of fp32 rows, for itself and for rank 1:
//   outgoing(block)   a b c in bf16 (fp32: the block itself)
//   exchange(to)      sends them; what came in bf16 is converted to fp32 rows at `to` (fp32: received there)
#pragma once

#include "comm/item_exchange.hpp"
#include "exchange/exchange_bounds.hpp"
#include "exchange/scratch.hpp"

namespace sparrow {

class RowTransfer {
 public:
  /// Of rows of `dim` values in device memory; wire: their type between ranks.
  RowTransfer(Backend& backend, int64_t dim, DType wire);

  /// Who sends how many rows to whom, over a communicator of device memory.
  struct Exchange {
    Comm& comm;
    Phase phase;
    const ItemsByRank &sent, &received;
    bool own = true;  ///< a rank's rows for itself are copied too
  };

  int64_t row_bytes() const { return dim_ * size_of(wire_); }  ///< on the wire

  /// Room for n rows to send, in the type of the wire, by rank; to be filled. Valid until the next call of outgoing or
  /// round.
  Matrix outgoing(int64_t n);
  /// n rows of fp32, as they are to be sent.
  Matrix outgoing(Stream& stream, float* rows, int64_t n);

  /// Collective: sends rows and returns those that came in, in the type of the wire, valid until the next call.
  Matrix exchange(Stream& stream, const Exchange& exchange, const Matrix& send);
  /// The same, into fp32 rows at `to`.
  void exchange(Stream& stream, const Exchange& exchange, const Matrix& send, float* to);

  /// Rounds n rows to what the wire can carry: for rows that some ranks get by it and some do not.
  void round(Stream& stream, float* rows, int64_t n);

  /// Takes the device memory that any exchange within the bounds needs.
  void reserve(const TransferBounds& bounds) {
    send_.reserve_exactly(bounds.send_bytes);
    recv_.reserve_exactly(bounds.recv_bytes);
  }

 private:
  void convert(Stream& stream, const Matrix& from, const Matrix& to);

  Backend& backend_;
  int64_t dim_;
  DType wire_;
  ItemExchange items_;
  Scratch<std::byte> send_, recv_;
};

}  // namespace sparrow
