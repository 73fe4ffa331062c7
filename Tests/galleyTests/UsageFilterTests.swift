// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Builder
import Testing

@testable import galley

struct UsageFilterTests {
    static let now: Int64 = 100_000
    static let records = [
        UsageRecord(
            id: "12",
            kind: .regular,
            parents: ["4"],
            description: "[1/2] RUN apt-get update, quietly",
            lastUsed: (now - 3599) * 1_000_000_000,
            size: 1
        ),
        UsageRecord(
            id: "4",
            kind: .regular,
            description: "layer of alpine",
            lastUsed: (now - 3600) * 1_000_000_000,
            size: 1,
            isShared: true
        ),
        UsageRecord(id: "0f3a9b77c0ffee-0", kind: .cacheMount, description: "cache mount go", size: 1, isMutable: true),
        UsageRecord(id: "galley.db", kind: .internal, size: 1, isMutable: true, isInUse: true),
    ]

    @Test(arguments: [
        ("id==12", ["12"]), ("id=12", ["12"]), ("id=1", []), ("id~=^1", ["12"]), ("id=0f3a9b77", ["0f3a9b77c0ffee-0"]),
        ("id=0f3a", []), ("id!=12", ["4", "0f3a9b77c0ffee-0", "galley.db"]),
        ("type==regular", ["12", "4"]), ("type=exec.cachemount", ["0f3a9b77c0ffee-0"]),
        ("type~=^(exec|int)", ["0f3a9b77c0ffee-0", "galley.db"]),
        ("type==frontend", []), ("type!=regular", ["0f3a9b77c0ffee-0", "galley.db"]),
        ("description~=apt", ["12"]), ("description==layer of alpine", ["4"]), ("description=layer of", []),
        ("description~=RUN.*update, quietly", ["12"]), ("description~=\"update, quietly\"", ["12"]),
        ("inuse", ["galley.db"]), ("inuse=true", ["galley.db"]), ("inuse==false", ["12", "4", "0f3a9b77c0ffee-0"]),
        ("inuse!=true", ["12", "4", "0f3a9b77c0ffee-0"]),
        ("mutable", ["0f3a9b77c0ffee-0", "galley.db"]), ("immutable", ["12", "4"]), ("shared", ["4"]),
        ("private", ["12", "0f3a9b77c0ffee-0", "galley.db"]),
        ("parent=4", ["12"]), ("parents==4", ["12"]), ("parents~=.", ["12"]),
        ("type==regular,shared", ["4"]), ("mutable,type=internal", ["galley.db"]),
        ("description~=a,private,immutable", ["12"]), ("until=1h,type=regular", ["4"]),
        ("type==regular,until=1h", ["4"]), ("description~=a,unused-for=1h", ["4", "0f3a9b77c0ffee-0"]),
        ("until=1h", ["4", "0f3a9b77c0ffee-0", "galley.db"]),
        ("description==\"x,until=1h\"", []), ("until=\"1h\",shared", ["4"]), ("until=0,id=12", ["12"]),
    ])
    func selects(text: String, ids: [String]) throws {
        #expect(try UsageSelection([text]).select(Self.records, now: Self.now).map(\.id) == ids)
        // A rule of galley.toml reads the same.
        let matches = try UsageFilter(text).matcher(now: Self.now)
        #expect(Self.records.filter(matches).map(\.id) == ids)
    }

    @Test(arguments: [
        ("", "it has no field"), ("size>5", "there is no field \"size\""), ("type", "type needs a value"),
        ("type=regula", "there is no type \"regula\""), ("inuse=maybe", "inuse is true or false"),
        ("shared~=true", "shared is true or false"), ("id~=(", "is not a regular expression"),
        ("description=\"x", "a quotation mark is not closed"), ("description=\"x\"y", "a comma is missing"),
        ("mutable,", "it has no field"), ("until", "is no length of time"), ("until=1x", "is no length of time"),
        ("until=-5h", "is no length of time"), ("unused-for=", "is no length of time"),
        ("until==1h", "is no length of time"), ("type==regular,until=1x", "\"1x\" is no length of time"),
        ("description~=a,until", "is no length of time"), ("until=1h,unused-for=2h", "the age is given twice"),
        ("until=1h,", "is no length of time"), ("until=1h,x", "is no length of time"),
    ])
    func refuses(text: String, reason: String) throws {
        let error = #expect(throws: BuilderError.self) { try UsageSelection([text]) }
        #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
        if !text.isEmpty {
            #expect(error?.message.contains(text.prefix { $0.isLetter }) == true || reason.contains("regular"))
        }
        #expect(error?.nextStep != nil)
    }

    @Test func severalMustAllHold() throws {
        #expect(try UsageSelection(["type=regular", "private"]).select(Self.records, now: 0).map(\.id) == ["12"])
        #expect(try UsageSelection(["until=24h", "shared"]).keepDuration == 86400)
        #expect(throws: BuilderError.self) { try UsageSelection(["until=1h", "unused-for=2h"]) }
        #expect(throws: BuilderError.self) { try UsageSelection(["until=1h"], until: "2h") }
    }

    @Test(arguments: [
        ("24h", 86400), ("90m", 5400), ("1h30m", 5400), ("1.5h", 5400), ("7d", 604_800), ("2w", 1_209_600), ("30s", 30),
        ("500ms", 1), ("0", 0), ("172800", 172_800), ("1d12h", 129_600), ("0s", 0),
    ])
    func durations(text: String, seconds: Int64) { #expect(durationSeconds(text) == seconds) }

    @Test(arguments: ["", "h", "-1h", "-5", "1x", "1 h", "h1", "1h2", "99999999999999999w", "1e9h", "..s"])
    func noDurations(text: String) { #expect(durationSeconds(text) == nil) }

    @Test(
        arguments: [
            ("512000000", .bytes(512_000_000)), ("512MB", .bytes(512 << 20)), ("512mb", .bytes(512 << 20)),
            ("1.5g", .bytes(3 << 29)), ("10GiB", .bytes(10 << 30)), ("10%", .percent(10)), ("0", .bytes(0)),
            ("1 kb", .bytes(1024)),
            ("", nil), ("%", nil), ("101%", nil), ("-1", nil), ("1x", nil), ("9999999p", nil), ("GB", nil),
            ("1e3", nil),
        ] as [(String, SpaceAmount?)]
    )
    func amounts(text: String, amount: SpaceAmount?) { #expect(SpaceAmount(text) == amount) }
}
