#include "assign/assigner.hpp"

#include <numeric>

namespace sparrow {

AssignerTree AssignerTree::flat(int ranks) {
  AssignerTree tree{{std::vector<int>(ranks, 0), std::vector<int>(ranks)}, {}};
  std::iota(tree.domain_of[1].begin(), tree.domain_of[1].end(), 0);
  return tree;
}

}  // namespace sparrow
