// The subcommands of sparrow, one file each. argv[0] is the subcommand's name. They return the exit code, or throw
// Error.
#pragma once

namespace sparrow {

int run_train(int argc, char** argv);
int run_generate(int argc, char** argv);
int run_count(int argc, char** argv);
int run_calibrate(int argc, char** argv);
int run_plan(int argc, char** argv);
int run_locality(int argc, char** argv);

}  // namespace sparrow
