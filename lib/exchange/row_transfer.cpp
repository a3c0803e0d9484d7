#include "exchange/row_transfer.hpp"

namespace sparrow {

RowTransfer::RowTransfer(Backend& backend, int64_t dim, DType wire)
    : backend_(backend), dim_(dim), wire_(wire), send_(backend, Memory::device), recv_(backend, Memory::device) {}

Matrix RowTransfer::outgoing(int64_t n) {
  return Matrix::of(wire_, send_.reserve(n * row_bytes()), n, dim_);
}

Matrix RowTransfer::outgoing(Stream& stream, float* rows, int64_t n) {
  const Matrix exact = Matrix::f32(rows, n, dim_);
  if (wire_ == DType::f32) return exact;
  const Matrix send = outgoing(n);
  convert(stream, exact, send);
  return send;
}

Matrix RowTransfer::exchange(Stream& stream, const Exchange& exchange, const Matrix& send) {
  const int64_t n = exchange.received.total;
  const Matrix recv = Matrix::of(wire_, recv_.reserve(n * row_bytes()), n, dim_);
  items_.run(&stream, exchange.comm, exchange.phase, send.data, exchange.sent, recv.data, exchange.received,
             row_bytes(), exchange.own);
  return recv;
}

void RowTransfer::exchange(Stream& stream, const Exchange& exchange, const Matrix& send, float* to) {
  if (wire_ == DType::f32) {
    items_.run(&stream, exchange.comm, exchange.phase, send.data, exchange.sent, to, exchange.received, row_bytes(),
               exchange.own);
  } else {
    convert(stream, this->exchange(stream, exchange, send), Matrix::f32(to, exchange.received.total, dim_));
  }
}

void RowTransfer::round(Stream& stream, float* rows, int64_t n) {
  if (wire_ == DType::f32) return;
  const Matrix rounded = outgoing(stream, rows, n);
  convert(stream, rounded, Matrix::f32(rows, n, dim_));
}

/// Rows of one value each are one row: conversions go row by row.
void RowTransfer::convert(Stream& stream, const Matrix& from, const Matrix& to) {
  const auto shape = [&](const Matrix& rows) {
    return dim_ == 1 ? Matrix::of(rows.type, rows.data, 1, rows.rows) : rows;
  };
  backend_.convert(stream, shape(from), shape(to));
}

}  // namespace sparrow
