// Stands in for TensorFlow Lite Micro's header of this name, with what our code calls.
#ifndef SCHEMA_GENERATED_H_
#define SCHEMA_GENERATED_H_

#include <cstdint>

#define TFLITE_SCHEMA_VERSION (3)

namespace tflite {

struct Model {
  uint32_t version() const { return TFLITE_SCHEMA_VERSION; }
};

inline const Model* GetModel(const void* buffer) { return static_cast<const Model*>(buffer); }

}  // namespace tflite

#endif  // SCHEMA_GENERATED_H_
