// Fills a trainer with a model that was saved: from a checkpoint (checkpoint.hpp), or the weights of any. Each rank
// reads the rows that it holds straight from the files, in the order in which it holds them.
#pragma once

#include <functional>
#include <string>

#include "checkpoint/checkpoint_files.hpp"
#include "train/trainer.hpp"

namespace sparrow {

/// Collective. Loads a checkpoint folder, with optimiser state and holders, and returns how far it was. before_rows is
/// called before rows are loaded, when it is known who holds them: to say where else they go. Throws Error if it is of
/// another model.
RunPosition load_checkpoint(Trainer& trainer, const Store::IdOfPosition& id_of_position, const std::string& path,
                            const std::function<void()>& before_rows = {});

/// Loads weights alone: from a checkpoint folder, or from one safetensors file with the dense parameters and
/// emb_l.0.weight (rows, dim), emb_l.1.weight, ..., rows by id. Mapped rows are where arithmetic places them.
void load_weights(Trainer& trainer, const Store::IdOfPosition& id_of_position, const std::string& path);

}  // namespace sparrow
