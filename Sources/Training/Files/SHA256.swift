import CCrypto
import Glibc

/// SHA-256 (FIPS 180-4) of bytes that arrive in pieces, by libcrypto.
///
/// ```swift
/// let digest = SHA256()
/// digest.update(weights)
/// digest.update(biases)
/// print(digest.finish())  // 64 hexadecimal digits
/// ```
public final class SHA256 {
    private let context: OpaquePointer

    /// A digest of nothing yet.
    public init() {
        guard let context = EVP_MD_CTX_new(),
            EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1
        else { fatalError("libcrypto offers no SHA-256") }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    /// Adds the memory of `bytes`.
    public func update(_ bytes: RawSpan) {
        bytes.withUnsafeBytes { buffer in
            guard EVP_DigestUpdate(context, buffer.baseAddress, buffer.count) == 1 else {
                fatalError("libcrypto could not update a SHA-256")
            }
        }
    }

    /// Adds `bytes`.
    public func update(_ bytes: [UInt8]) { update(bytes.span.bytes) }

    /// Adds `bytes`.
    public func update(_ bytes: ArraySlice<UInt8>) { update(bytes.span.bytes) }

    /// Adds `values` as little-endian Float32.
    public func update(_ values: [Float]) { update(values.span.bytes) }

    /// Adds `text` as UTF-8.
    public func update(_ text: String) { update(Array(text.utf8)) }

    /// The digest of everything added: 64 lower-case hexadecimal digits. It ends the digest: nothing
    /// may follow.
    public func finish() -> String {
        var bytes = [UInt8](repeating: 0, count: 32)
        guard EVP_DigestFinal_ex(context, &bytes, nil) == 1 else {
            fatalError("libcrypto could not finish a SHA-256")
        }
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] },
            as: UTF8.self)
    }

    /// The digest of `text` as UTF-8.
    public static func digest(of text: String) -> String {
        let digest = SHA256()
        digest.update(text)
        return digest.finish()
    }

    /// The digest of the file at `path`, read in pieces of 1 MB.
    public static func digest(ofFile path: String) throws(FileError) -> String {
        let file = try FileDescriptor(
            opening: path, flags: O_RDONLY | O_NONBLOCK, operation: "open")
        _ = try file.size()
        let digest = SHA256()
        while true {
            let piece = try file.read(count: 1 << 20)
            if piece.isEmpty { return digest.finish() }
            digest.update(piece)
        }
    }
}
