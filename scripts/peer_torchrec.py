#!/usr/bin/env python3
"""TorchRec's DLRM on rows in Criteo's text format, as one rank of a job: what this project is compared with (beside_torchrec.py starts it).

    mpirun -n 4 PYTHON scripts/peer_torchrec.py ROWS.tsv[.gz] --rows 3000,3000,... --dim 128 --global-batch 8192 --wire fp16 --strategy table_wise

PYTHON has torch, torchrec and fbgemm-gpu-cpu. One pass over the rows, on processors, over gloo; rank 0 prints a line of JSON. Ids are values modulo the rows
of their table, dense values log(1 + max(x, 0)), as this project has them; the optimiser of rows is row-wise Adagrad.
"""
import argparse
import gzip
import json
import os
import time

DENSE, TABLES = 13, 26


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows_file", metavar="ROWS")
    parser.add_argument("--rows", required=True, help="rows of each table, 26 numbers")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--global-batch", type=int, default=8192)
    parser.add_argument("--hidden", type=int, default=64, help="width of the one hidden layer of either MLP")
    parser.add_argument("--strategy", default="table_wise", choices=["table_wise", "row_wise", "column_wise", "planner"])
    parser.add_argument("--gbps", type=float, help="tell the planner what the links do, in Gbit/s")
    parser.add_argument("--wire", default="fp32", choices=["fp32", "fp16", "bf16"])
    parser.add_argument("--pipeline", action="store_true", help="TrainPipelineSparseDist")
    parser.add_argument("--samples", type=int, default=0, help="at most so many; 0: all whole batches")
    parser.add_argument("--interface", default="eth0")
    parser.add_argument("--master", default="sparrow0", help="host of rank 0")
    parser.add_argument("--port", type=int, default=29511)
    return parser.parse_args()


def read_rows(path, rows, batch, samples, rank, world):
    """Batches of this rank: [(dense, ids (table major), labels)], of the whole batches there are."""
    import numpy
    import torch

    opened = gzip.open(path, "rt") if path.endswith(".gz") else open(path)
    part, parts, number = batch // world, [], 0
    labels, dense, ids = [], [], []
    with opened as lines:
        for line in lines:
            if (number // part) % world == rank:
                fields = line.rstrip("\n").split("\t")
                labels.append(float(fields[0]))
                dense.append([max(int(x or 0), 0) for x in fields[1 : 1 + DENSE]])
                ids.append([int(x or "0", 16) for x in fields[1 + DENSE :]])
            number += 1
            if number % batch == 0:
                values = (numpy.array(ids, dtype=numpy.int64) % numpy.array(rows)).T
                parts.append((torch.from_numpy(numpy.log1p(numpy.array(dense, dtype=numpy.float32))),
                              torch.from_numpy(numpy.ascontiguousarray(values)), torch.tensor(labels)))
                labels, dense, ids = [], [], []
                if samples and number + batch > samples:
                    break
    return parts


def build(options, rows, world):
    import torch
    import torch.distributed as dist
    from fbgemm_gpu.split_embedding_configs import EmbOptimType
    from torchrec import EmbeddingBagCollection, EmbeddingBagConfig
    from torchrec.distributed import DistributedModelParallel
    from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
    from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
    from torchrec.distributed.planner.types import ParameterConstraints
    from torchrec.models.dlrm import DLRM, DLRMTrain
    from torchrec.optim.keyed import CombinedOptimizer, KeyedOptimizerWrapper
    from torchrec.optim.optimizers import in_backward_optimizer_filter

    class Sharder(EmbeddingBagCollectionSharder):
        def sharding_types(self, compute_device_type):
            return [*super().sharding_types(compute_device_type), "row_wise"]  # which works on processors, though it is not offered there

    codecs = None
    if options.wire != "fp32":
        from torchrec.distributed.fbgemm_qcomm_codec import CommType, QCommsConfig, get_qcomm_codecs_registry

        kind = CommType(options.wire)
        codecs = get_qcomm_codecs_registry(QCommsConfig(kind, kind), device=torch.device("cpu"))
    sharder = Sharder(fused_params={"optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD, "learning_rate": 0.03}, qcomm_codecs_registry=codecs)
    tables = [EmbeddingBagConfig(name=f"t{t}", embedding_dim=options.dim, num_embeddings=n, feature_names=[f"f{t}"]) for t, n in enumerate(rows)]
    cpu = torch.device("cpu")
    dlrm = DLRM(EmbeddingBagCollection(tables=tables, device=torch.device("meta")), DENSE, [options.hidden, options.dim], [options.hidden, 1],
                dense_device=cpu)  # fmt: skip
    constraints = None
    if options.strategy != "planner":
        constraints = {table.name: ParameterConstraints(sharding_types=[options.strategy], min_partition=8) for table in tables}
    speed = {}
    if options.gbps:  # bytes per millisecond
        speed = {name: options.gbps * 1e9 / 8 / 1000 for name in ("intra_host_bw", "inter_host_bw")}
    topology = Topology(world_size=world, local_world_size=1, compute_device="cpu", ddr_cap=10 << 30, **speed)
    planner = EmbeddingShardingPlanner(topology=topology, batch_size=options.global_batch // world, constraints=constraints, debug=False)
    model = DLRMTrain(dlrm)
    plan = planner.collective_plan(model, [sharder], dist.group.WORLD)
    used = {}
    for module_plan in plan.plan.values():
        for parameter in module_plan.values():
            used[parameter.sharding_type] = used.get(parameter.sharding_type, 0) + 1
    model = DistributedModelParallel(model, device=cpu, plan=plan, sharders=[sharder])
    rest = dict(in_backward_optimizer_filter(model.named_parameters()))
    optimizer = CombinedOptimizer([model.fused_optimizer, KeyedOptimizerWrapper(rest, lambda p: torch.optim.Adagrad(p, lr=0.02))])
    return model, optimizer, used


def steps(options, model, optimizer, parts):
    """A function that makes one step of the next batch, over and over again."""
    import torch
    from torchrec import KeyedJaggedTensor
    from torchrec.datasets.utils import Batch

    names = [f"f{t}" for t in range(TABLES)]

    def batches():
        while True:
            for dense, ids, labels in parts:
                lengths = torch.ones(ids.numel(), dtype=torch.int32)
                yield Batch(dense, KeyedJaggedTensor(names, ids.reshape(-1), lengths=lengths), labels)

    stream = batches()
    if options.pipeline:
        from torchrec.distributed.train_pipeline import TrainPipelineSparseDist

        pipe = TrainPipelineSparseDist(model, optimizer, torch.device("cpu"))
        return lambda: pipe.progress(stream)

    def step():
        optimizer.zero_grad()
        loss, _ = model(next(stream))
        loss.backward()
        optimizer.step()

    return step


def sent_bytes(interface):
    with open("/proc/net/dev") as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            if name.strip() == interface:
                return int(rest.split()[8])
    return 0


def main():
    options = parse()
    rank, world = int(os.environ["OMPI_COMM_WORLD_RANK"]), int(os.environ["OMPI_COMM_WORLD_SIZE"])
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK="0", LOCAL_WORLD_SIZE="1", MASTER_ADDR=options.master,
                      MASTER_PORT=str(options.port), GLOO_SOCKET_IFNAME=options.interface, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1",
                      TORCH_CPP_LOG_LEVEL="ERROR", PYTHONWARNINGS="ignore")  # fmt: skip
    import logging

    import torch
    import torch.distributed as dist

    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    torch.manual_seed(1)
    rows = [int(n) for n in options.rows.split(",")]
    parts = read_rows(options.rows_file, rows, options.global_batch, options.samples, rank, world)
    dist.init_process_group("gloo", rank=rank, world_size=world)
    model, optimizer, plan = build(options, rows, world)
    step = steps(options, model, optimizer, parts)
    for _ in range(2):
        step()
    dist.barrier()
    before, begin = sent_bytes(options.interface), time.perf_counter()
    for _ in parts:
        step()
    dist.barrier()
    seconds, sent = time.perf_counter() - begin, sent_bytes(options.interface) - before
    every = [None] * world
    dist.all_gather_object(every, sent)
    if rank == 0:
        print(json.dumps({"samples_per_second": len(parts) * options.global_batch / seconds, "seconds_per_iteration": seconds / len(parts),
                          "bytes_per_iteration": sum(every) / world / len(parts), "plan": plan, "torch": torch.__version__}), flush=True)  # fmt: skip
    dist.barrier()
    os._exit(0)  # gloo's threads may outlive their sockets


if __name__ == "__main__":
    main()
