// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A member's name, whatever it is.
private struct MemberName: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { nil }
}

extension Decoder {
    /// The members of this object that a type has no fields for, to be written again by `encodeMembers`.
    func members(except known: [String]) throws -> [String: JSONValue] {
        let container = try container(keyedBy: MemberName.self)
        var members: [String: JSONValue] = [:]
        for key in container.allKeys where !known.contains(key.stringValue) {
            members[key.stringValue] = try container.decode(JSONValue.self, forKey: key)
        }
        return members
    }
}

extension Encoder {
    func encodeMembers(_ members: [String: JSONValue]) throws {
        if members.isEmpty { return }
        var container = container(keyedBy: MemberName.self)
        for (name, value) in members { try container.encode(value, forKey: MemberName(name)) }
    }
}
