// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// One record of CSV (RFC 4180), as the values of `--mount`, `--secret` and `--output` are: a field that begins with a
/// quote may hold commas and doubled quotes.
package struct CSVRecord: Sendable {
    package struct Field: Sendable {
        /// Without the quotes around it.
        package let text: String
        /// Up to the first `=`, or all of the text.
        package let key: String
        /// What follows the first `=`; nil when there is none.
        package let value: String?
        /// In bytes of the record, with the quotes.
        package let place: Range<Int>

        init(_ bytes: [UInt8], at place: Range<Int>) {
            text = String(decoding: bytes, as: UTF8.self)
            self.place = place
            let sign = bytes.firstIndex(of: UInt8(ascii: "="))
            key = String(decoding: bytes[..<(sign ?? bytes.count)], as: UTF8.self)
            value = sign.map { String(decoding: bytes[($0 + 1)...], as: UTF8.self) }
        }
    }

    /// Why a text is no record.
    package enum Problem: String, Error {
        case openQuote = "a quote is not closed"
        case strayQuote = "a quote is out of place"
    }

    /// At least one, which is empty for an empty record.
    package let fields: [Field]

    package init(_ text: String) throws(Problem) {
        let bytes = Array(text.utf8)
        let quote = UInt8(ascii: "\"")
        let comma = UInt8(ascii: ",")
        var fields: [Field] = []
        var index = 0
        while true {
            let start = index
            var field: [UInt8] = []
            if index < bytes.count, bytes[index] == quote {
                index += 1
                while true {
                    guard index < bytes.count else { throw .openQuote }
                    if bytes[index] == quote {
                        index += 1
                        guard index < bytes.count, bytes[index] == quote else { break }
                    }
                    field.append(bytes[index])
                    index += 1
                }
                guard index == bytes.count || bytes[index] == comma else { throw .strayQuote }
            } else {
                while index < bytes.count, bytes[index] != comma {
                    if bytes[index] == quote { throw .strayQuote }
                    field.append(bytes[index])
                    index += 1
                }
            }
            fields.append(Field(field, at: start..<index))
            if index == bytes.count { break }
            index += 1
        }
        self.fields = fields
    }
}
