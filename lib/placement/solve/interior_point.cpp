// Mehrotra's method with the equations of the classes eliminated (normal_equations.hpp). Notation: y duals of coupling
// rows (<= 0), w of classes, r reduced costs, s slacks; d = x / r.
#include "placement/solve/interior_point.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "placement/solve/dense_algebra.hpp"
#include "placement/solve/normal_equations.hpp"

namespace sparrow::placement {
namespace {

constexpr double kBlocked = 0.1;   // steps shorter than this are given up for a centring one
constexpr double kCentring = 0.8;  // of the average product, which such a step aims at

/// Everything with one entry per variable: columns x, then taus, then slacks.
using Vector = std::vector<double>;

class InteriorPoint {
 public:
  explicit InteriorPoint(const BlockProgram& program);
  BlockSolution run(double accuracy);

 private:
  struct Direction {
    Vector z, r, y, w;
  };
  void start();
  void residuals();
  void weigh();
  Direction newton_direction();
  void advance();
  BlockSolution here(double error, int iteration) const;
  Direction solve_for(const Vector& complementarity);
  void apply(const Vector& z, Vector& rows, Vector& sums) const;            // M z
  void transposed(const Vector& y, const Vector& w, Vector& result) const;  // M^T (y, w)
  double average_product() const { return dot(z_.data(), r_.data(), n_) / n_; }
  static double longest_step(const Vector& at, const Vector& along);
  double relative_error() const;

  const BlockProgram& p_;
  int m_, columns_, taus_, n_, classes_;
  std::vector<int> class_of_;
  Vector z_, r_, y_, w_, cost_;
  Vector primal_rows_, primal_sums_, dual_;  // residuals
  Vector weight_, target_;
  NormalEquations normal_;
};

InteriorPoint::InteriorPoint(const BlockProgram& program)
    : p_(program),
      m_(program.rows),
      columns_(program.column_count()),
      taus_(static_cast<int>(program.objective.size())),
      n_(columns_ + taus_ + m_),
      classes_(program.classes()),
      target_(n_),
      normal_(program) {
  class_of_.resize(columns_);
  for (int c = 0; c < classes_; ++c)
    for (int j = p_.class_start[c]; j < p_.class_start[static_cast<size_t>(c) + 1]; ++j) class_of_[j] = c;
  cost_.assign(n_, 0);
  std::copy(p_.objective.begin(), p_.objective.end(), cost_.begin() + columns_);
}

void InteriorPoint::apply(const Vector& z, Vector& rows, Vector& sums) const {
  rows.assign(m_, 0);
  sums.assign(classes_, 0);
  for (int j = 0; j < columns_; ++j) {
    const double x = z[j];
    const double* column = p_.column(j);
    for (int k = 0; k < m_; ++k) rows[k] += column[k] * x;
    sums[class_of_[j]] += x;
  }
  for (const auto& link : p_.links) rows[link.row] += link.value * z[columns_ + link.tau];
  for (int k = 0; k < m_; ++k) rows[k] += z[columns_ + taus_ + k];
}

void InteriorPoint::transposed(const Vector& y, const Vector& w, Vector& result) const {
  result.assign(n_, 0);
  for (int j = 0; j < columns_; ++j) result[j] = dot(p_.column(j), y.data(), m_) + w[class_of_[j]];
  for (const auto& link : p_.links) result[columns_ + link.tau] += link.value * y[link.row];
  for (int k = 0; k < m_; ++k) result[columns_ + taus_ + k] = y[k];
}

void InteriorPoint::start() {
  z_.assign(n_, 1);
  for (int j = 0; j < columns_; ++j) {
    const auto c = static_cast<size_t>(class_of_[j]);
    z_[j] = 1.0 / (p_.class_start[c + 1] - p_.class_start[c]);
  }
  Vector rows, sums;
  apply(z_, rows, sums);
  for (int k = 0; k < m_; ++k) {
    double& slack = z_[columns_ + taus_ + k];
    slack = std::max(0.1, p_.b[k] - rows[k] + slack);
  }
  y_.assign(m_, -0.1);
  w_.assign(classes_, 0);
  Vector reduced;
  transposed(y_, w_, reduced);
  for (int c = 0; c < classes_; ++c) {  // all reduced costs of a class above zero
    const int first = p_.class_start[c], last = p_.class_start[static_cast<size_t>(c) + 1];
    double highest = reduced[first], lowest = highest;
    for (int j = first; j < last; ++j) {
      highest = std::max(highest, reduced[j]);
      lowest = std::min(lowest, reduced[j]);
    }
    w_[c] = -highest - 0.1 * (highest - lowest) - 1e-4;
  }
  transposed(y_, w_, reduced);
  r_.resize(n_);
  for (int i = 0; i < n_; ++i) r_[i] = std::max(cost_[i] - reduced[i], 1e-3);
}

void InteriorPoint::residuals() {
  apply(z_, primal_rows_, primal_sums_);
  for (int k = 0; k < m_; ++k) primal_rows_[k] = p_.b[k] - primal_rows_[k];
  for (double& sum : primal_sums_) sum = 1 - sum;
  transposed(y_, w_, dual_);
  for (int i = 0; i < n_; ++i) dual_[i] = cost_[i] - dual_[i] - r_[i];
}

double InteriorPoint::relative_error() const {
  double primal = 0, dual = 0, primal_residual = 0, dual_residual = 0;
  for (int i = 0; i < n_; ++i) primal += cost_[i] * z_[i];
  for (int k = 0; k < m_; ++k) {
    dual += p_.b[k] * y_[k];
    primal_residual = std::max(primal_residual, std::abs(primal_rows_[k]));
  }
  for (double w : w_) dual += w;
  for (double v : primal_sums_) primal_residual = std::max(primal_residual, std::abs(v));
  for (double v : dual_) dual_residual = std::max(dual_residual, std::abs(v));
  return std::abs(primal - dual) / (1e-3 + std::abs(primal)) + primal_residual + dual_residual;
}

void InteriorPoint::weigh() {
  weight_.resize(n_);
  for (int i = 0; i < n_; ++i) weight_[i] = z_[i] / r_[i];
  normal_.factorise(weight_);
}

/// The Newton direction that removes the residuals and sets z r to z r + complementarity.
InteriorPoint::Direction InteriorPoint::solve_for(const Vector& complementarity) {
  Vector h(n_);
  for (int i = 0; i < n_; ++i) h[i] = complementarity[i] / r_[i] - weight_[i] * dual_[i];
  Direction step;
  apply(h, step.y, step.w);
  for (int k = 0; k < m_; ++k) step.y[k] = primal_rows_[k] - step.y[k];
  for (int c = 0; c < classes_; ++c) step.w[c] = primal_sums_[c] - step.w[c];
  normal_.solve(step.y, step.w);
  transposed(step.y, step.w, step.r);
  step.z.resize(n_);
  for (int i = 0; i < n_; ++i) {
    step.z[i] = weight_[i] * step.r[i] + h[i];
    step.r[i] = dual_[i] - step.r[i];
  }
  return step;
}

double InteriorPoint::longest_step(const Vector& at, const Vector& along) {
  double step = 1e30;
  for (size_t i = 0; i < at.size(); ++i)
    if (along[i] < 0) step = std::min(step, -at[i] / along[i]);
  return step;
}

/// Predictor and corrector: how far the residuals can be removed at once says how much to centre. Leaves what z r is to
/// become in target_, less what it is.
InteriorPoint::Direction InteriorPoint::newton_direction() {
  for (int i = 0; i < n_; ++i) target_[i] = -z_[i] * r_[i];
  const Direction predictor = solve_for(target_);
  const double ap = std::min(1.0, longest_step(z_, predictor.z)), ad = std::min(1.0, longest_step(r_, predictor.r));
  double after = 0;
  for (int i = 0; i < n_; ++i) after += (z_[i] + ap * predictor.z[i]) * (r_[i] + ad * predictor.r[i]);
  const double mu = average_product(), sigma = std::pow(after / n_ / mu, 3);
  for (int i = 0; i < n_; ++i) target_[i] += sigma * mu - predictor.z[i] * predictor.r[i];
  return solve_for(target_);
}

void InteriorPoint::advance() {
  const double mu = average_product();
  Direction step = newton_direction();
  const double damping = 0.9995 * std::max(0.9, 1 - 0.1 * mu);
  const auto step_length = [&](const Vector& at, const Vector& along) {
    return std::min(1.0, damping * longest_step(at, along));
  };
  double primal = step_length(z_, step.z), dual = step_length(r_, step.r);
  if (std::min(primal, dual) < kBlocked) {  // too far from the central path: go back to it first
    for (int i = 0; i < n_; ++i) target_[i] = kCentring * mu - z_[i] * r_[i];
    step = solve_for(target_);
    primal = step_length(z_, step.z);
    dual = step_length(r_, step.r);
  }
  for (int i = 0; i < n_; ++i) {
    z_[i] += primal * step.z[i];
    r_[i] += dual * step.r[i];
  }
  for (int k = 0; k < m_; ++k) y_[k] += dual * step.y[k];
  for (int c = 0; c < classes_; ++c) w_[c] += dual * step.w[c];
}

BlockSolution InteriorPoint::here(double error, int iteration) const {
  BlockSolution solution{{z_.begin(), z_.begin() + columns_},
                         {z_.begin() + columns_, z_.begin() + columns_ + taus_},
                         {},
                         0,
                         error,
                         iteration};
  for (double y : y_) solution.price.push_back(std::max(0.0, -y));
  for (int t = 0; t < taus_; ++t) solution.objective += p_.objective[t] * solution.tau[t];
  return solution;
}

BlockSolution InteriorPoint::run(double accuracy) {
  start();
  BlockSolution best;
  best.relative_gap = 1e300;
  constexpr int kMaxIterations = 100, kMostWithoutProgress = 15;
  int since_best = 0;
  for (int iteration = 0; iteration < kMaxIterations; ++iteration) {
    residuals();
    const double error = relative_error();
    if (!std::isfinite(error)) break;
    if (error < best.relative_gap) {
      best = here(error, iteration);
      since_best = 0;
    } else if (++since_best > kMostWithoutProgress) {
      break;
    }
    if (error < accuracy) break;
    weigh();
    advance();
  }
  SPARROW_CHECK(!best.x.empty(), "the linear programme has numbers that are not finite");
  return best;
}

}  // namespace

BlockSolution solve(const BlockProgram& program, double accuracy) {
  SPARROW_CHECK(program.rows > 0 && program.classes() > 0, "an empty linear programme");
  return InteriorPoint(program).run(accuracy);
}

}  // namespace sparrow::placement
