// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// Writes values as bytes that are equal exactly when the values are: every field has a name and a length.
public struct CanonicalEncoder: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public mutating func append(_ name: StaticString, _ value: String) {
        var value = value
        value.withUTF8 { append(name, UnsafeRawBufferPointer($0)) }
    }

    /// An absent value differs from an empty one.
    public mutating func append(_ name: StaticString, _ value: String?) {
        if let value { append(name, value) }
    }

    public mutating func append(_ name: StaticString, _ value: some BinaryInteger) {
        append(name, String(value))
    }

    public mutating func append(_ name: StaticString, _ value: Bool) {
        append(name, value ? "1" : "0")
    }

    public mutating func append(_ name: StaticString, _ values: [String]) {
        append(name, list: values) { $0.append("", $1) }
    }

    public mutating func append<T>(
        _ name: StaticString,
        list values: [T],
        _ encode: (inout CanonicalEncoder, T) -> Void
    ) {
        var nested = CanonicalEncoder()
        for value in values {
            var item = CanonicalEncoder()
            encode(&item, value)
            nested.append("-", bytes: item.bytes)
        }
        append(name, bytes: nested.bytes)
    }

    public mutating func append(_ name: StaticString, bytes value: [UInt8]) {
        value.withUnsafeBytes { append(name, $0) }
    }

    private mutating func append(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
        name.withUTF8Buffer { bytes.append(contentsOf: $0) }
        bytes.append(UInt8(ascii: "="))
        appendDecimal(value.count)
        bytes.append(UInt8(ascii: ":"))
        bytes.append(contentsOf: value)
    }

    private mutating func appendDecimal(_ number: Int) {
        if number >= 10 { appendDecimal(number / 10) }
        bytes.append(UInt8(ascii: "0") + UInt8(number % 10))
    }
}
