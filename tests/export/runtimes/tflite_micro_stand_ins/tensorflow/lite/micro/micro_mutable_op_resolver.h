// Stands in for TensorFlow Lite Micro's header of this name, with the operators of our presets.
#ifndef MICRO_MUTABLE_OP_RESOLVER_H_
#define MICRO_MUTABLE_OP_RESOLVER_H_

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

namespace tflite {

template <unsigned int tOpCount>
class MicroMutableOpResolver {
 public:
  TfLiteStatus AddAdd() { return AddOne(); }
  TfLiteStatus AddConv2D() { return AddOne(); }
  TfLiteStatus AddDequantize() { return AddOne(); }
  TfLiteStatus AddElu() { return AddOne(); }
  TfLiteStatus AddFullyConnected() { return AddOne(); }
  TfLiteStatus AddLeakyRelu() { return AddOne(); }
  TfLiteStatus AddLogistic() { return AddOne(); }
  TfLiteStatus AddMaxPool2D() { return AddOne(); }
  TfLiteStatus AddMean() { return AddOne(); }
  TfLiteStatus AddMul() { return AddOne(); }
  TfLiteStatus AddQuantize() { return AddOne(); }
  TfLiteStatus AddReshape() { return AddOne(); }
  TfLiteStatus AddSoftmax() { return AddOne(); }
  TfLiteStatus AddTanh() { return AddOne(); }

  bool IsFull() const { return count_ == tOpCount; }

 private:
  TfLiteStatus AddOne() { return ++count_ <= tOpCount ? kTfLiteOk : kTfLiteError; }

  unsigned int count_ = 0;
};

}  // namespace tflite

#endif  // MICRO_MUTABLE_OP_RESOLVER_H_
