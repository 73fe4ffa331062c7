// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import Testing

struct CSVRecordTests {
    @Test(
        arguments: [
            ("", [""]), ("a=b", ["a=b"]), ("a,b=c,", ["a", "b=c", ""]), (#""a=b,c",d"#, ["a=b,c", "d"]),
            (#""say ""hi""","""""#, ["say \"hi\"", "\""]), ("ä=ö,e\u{301}", ["ä=ö", "e\u{301}"]),
        ] as [(String, [String])]
    )
    func fields(_ text: String, _ expected: [String]) throws {
        let record = try CSVRecord(text)
        #expect(record.fields.map(\.text) == expected)
        let places = record.fields.map { String(decoding: Array(text.utf8)[$0.place], as: UTF8.self) }
        #expect(places.joined(separator: ",") == text)
    }

    @Test(arguments: [("a=b=c", "a", "b=c"), ("a=", "a", ""), ("=b", "", "b"), ("a", "a", nil), ("", "", nil)])
    func pairs(_ text: String, _ key: String, _ value: String?) throws {
        let field = try #require(CSVRecord(text).fields.first)
        #expect(field.key == key)
        #expect(field.value == value)
    }

    @Test(
        arguments: [
            (#"a,"b"#, CSVRecord.Problem.openQuote), (#"""#, .openQuote), (#""a"""#, .openQuote),
            (#"a"b""#, .strayQuote), (#""a"b"#, .strayQuote), (#""a" ,b"#, .strayQuote),
        ]
    )
    func problems(_ text: String, _ problem: CSVRecord.Problem) {
        #expect(throws: problem) { try CSVRecord(text) }
    }
}
