/// `sum` in its readable form.
package func sumReference(_ left: [Double], _ right: [Double]) -> [Double] {
    zip(left, right).map { $0 + $1 }
}

/// `anyNonFinite` in its readable form.
package func anyNonFiniteReference(_ values: [Float]) -> Bool {
    values.contains { !$0.isFinite }
}

/// `sumOfSquares` in its readable form.
package func sumOfSquaresReference(_ values: [Float]) -> Double {
    values.reduce(0) { $0 + Double($1) * Double($1) }
}
