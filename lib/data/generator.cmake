# Criteo-shaped data: statistics, the model behind `sparrow generate`, its files, and the comparison with what was measured.
sparrow_library(sparrow_generator
  SOURCES criteo_statistics.cpp criteo_statistics_kaggle.cpp criteo_statistics_terabyte.cpp generator.cpp generator_law.cpp
    generator_map.cpp generator_model.cpp generator_model_setup.cpp
    generator_report.cpp generator_samples.cpp generator_shard.cpp
  LINK sparrow_base sparrow_data PkgConfig::ISAL nlohmann_json::nlohmann_json Threads::Threads)
