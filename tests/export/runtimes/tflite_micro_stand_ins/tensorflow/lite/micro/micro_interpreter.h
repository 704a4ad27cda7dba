// Stands in for TensorFlow Lite Micro's header of this name. Its model gives back the first numbers
// of what it takes.
#ifndef MICRO_INTERPRETER_H_
#define MICRO_INTERPRETER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace tflite {

class MicroInterpreter {
 public:
  template <typename Resolver>
  MicroInterpreter(const Model*, const Resolver& operators, uint8_t* arena, size_t arena_size)
      : input_(arena), output_(arena + arena_size / 2), size_(arena_size / 2),
        has_all_operators_(operators.IsFull()) {}

  TfLiteStatus AllocateTensors() { return has_all_operators_ ? kTfLiteOk : kTfLiteError; }
  TfLiteStatus Invoke() {
    std::memcpy(output_, input_, size_);
    return kTfLiteOk;
  }
  template <typename T>
  T* typed_input_tensor(int) {
    return reinterpret_cast<T*>(input_);
  }
  template <typename T>
  T* typed_output_tensor(int) {
    return reinterpret_cast<T*>(output_);
  }

 private:
  uint8_t* input_;
  uint8_t* output_;
  size_t size_;
  bool has_all_operators_;
};

}  // namespace tflite

#endif  // MICRO_INTERPRETER_H_
