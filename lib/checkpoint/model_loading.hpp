// Fills a trainer with a model that was saved: from a checkpoint (checkpoint.hpp), or the weights of any. Each rank
// reads the rows that it holds straight from the files, in the order in which it holds them.
#pragma once

#include <string>

#include "checkpoint/checkpoint_files.hpp"
#include "train/trainer.hpp"

namespace sparrow {

/// Collective. Loads a checkpoint folder, with optimiser state, and returns how far it was. Throws Error if it is of
/// another model.
RunPosition load_checkpoint(Trainer& trainer, const Store::IdOfPosition& id_of_position, const std::string& path);

/// Loads weights alone: from a checkpoint folder, or from one safetensors file with the dense parameters and
/// emb_l.0.weight (rows, dim), emb_l.1.weight, ..., rows by id.
void load_weights(Trainer& trainer, const Store::IdOfPosition& id_of_position, const std::string& path);

}  // namespace sparrow
