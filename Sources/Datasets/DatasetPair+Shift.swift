extension DatasetPair {
    /// The same pair with every pixel x of the test samples, on the unit scale, turned into
    /// contrast·(x − ½) + ½ + brightness, cut off at 0 and 1 and rounded to a byte.
    public func shiftingTest(brightness: Double, contrast: Double) -> DatasetPair {
        let table = (0..<256).map { byte in
            let value = contrast * (Double(byte) / 255 - 0.5) + 0.5 + brightness
            return UInt8((min(max(value, 0), 1) * 255).rounded())
        }
        return DatasetPair(
            training: training, test: Dataset(test, pixels: test.images.map { table[Int($0)] }),
            files: files, remark: remark)
    }
}
