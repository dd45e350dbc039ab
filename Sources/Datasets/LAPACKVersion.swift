import CLAPACK
import Glibc

/// The LAPACK that whitenings are fitted with: "LAPACK 3.9.0, OpenBLAS 0.3.21".
public var lapackVersion: String {
    var (major, minor, patch): (Int32, Int32, Int32) = (0, 0, 0)
    LAPACKE_ilaver(&major, &minor, &patch)
    let version = "LAPACK \(major).\(minor).\(patch)"
    typealias Text = @convention(c) () -> UnsafePointer<CChar>?
    guard let symbol = dlsym(nil, "openblas_get_config"),
        let text = unsafeBitCast(symbol, to: Text.self)()
    else { return version }
    // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH … SkylakeX SINGLE_THREADED"
    return version + ", "
        + String(cString: text).split(separator: " ").prefix(2).joined(separator: " ")
}
