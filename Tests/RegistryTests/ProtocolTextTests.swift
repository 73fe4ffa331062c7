// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Testing

@testable import Registry

@Suite struct ProtocolTextTests {
    struct Header: Sendable {
        var values: [String]
        var challenges: [Challenge]
    }

    static let headers: [Header] = [
        Header(values: [], challenges: []),
        Header(values: ["Basic realm=x"], challenges: [Challenge(scheme: "basic", parameters: ["realm": "x"])]),
        Header(
            values: [#"Bearer realm="https://auth.example/token",service="a, b=c",scope="repository:x:pull,push""#],
            challenges: [
                Challenge(
                    scheme: "bearer",
                    parameters: [
                        "realm": "https://auth.example/token", "service": "a, b=c", "scope": "repository:x:pull,push",
                    ]
                )
            ]
        ),
        Header(
            values: [#"BEARER Realm = "a\"b\\c" , x=1,Basic realm="y""#, "Negotiate"],
            challenges: [
                Challenge(scheme: "bearer", parameters: ["realm": #"a"b\c"#, "x": "1"]),
                Challenge(scheme: "basic", parameters: ["realm": "y"]), Challenge(scheme: "negotiate", parameters: [:]),
            ]
        ),
        Header(
            values: ["Negotiate dG9r/ZW4=, Basic realm=z"],
            challenges: [
                Challenge(scheme: "negotiate", parameters: [:]), Challenge(scheme: "basic", parameters: ["realm": "z"]),
            ]
        ),
        Header(
            values: ["Bearer realm=first,realm=second"],
            challenges: [Challenge(scheme: "bearer", parameters: ["realm": "first"])]
        ),
        Header(values: ["Bearer realm=\"open"], challenges: [Challenge(scheme: "bearer", parameters: [:])]),
        Header(values: ["=,=\"\u{0}"], challenges: []),
        Header(values: [",,, ,"], challenges: []),
    ]

    @Test(arguments: headers)
    func challenges(_ header: Header) {
        #expect(Challenge.parse(header.values) == header.challenges)
    }

    struct Resolution: Sendable {
        var text: String
        var expected: String?
    }

    static let resolutions: [Resolution] = [
        Resolution(text: "https://Other.example:8443/a?b=c#d", expected: "https://other.example:8443/a?b=c"),
        Resolution(text: "http://host", expected: "http://host/"),
        Resolution(text: "//cdn.example/x", expected: "https://cdn.example/x"),
        Resolution(text: "/v2/x/?u=https://h/", expected: "https://reg.example/v2/x/?u=https://h/"),
        Resolution(text: "uuid?_state=1%3D", expected: "https://reg.example/v2/app/uuid?_state=1%3D"),
        Resolution(text: "?x=1", expected: "https://reg.example/v2/app/up?x=1"),
        Resolution(text: "../../../../a/./b/..", expected: "https://reg.example/a/"),
        Resolution(text: "https://[::1]:5000/a", expected: "https://[::1]:5000/a"),
        Resolution(text: "ftp://host/a", expected: nil),
        Resolution(text: "file:///etc/passwd", expected: nil),
        Resolution(text: "https://user:pw@host/", expected: nil),
        Resolution(text: "https://host:99999/", expected: nil),
        Resolution(text: "https:///x", expected: nil),
        Resolution(text: "https://host\\@evil/", expected: nil),
        Resolution(text: "/a b", expected: nil),
        Resolution(text: "/a\r\nX: y", expected: nil),
    ]

    @Test(arguments: resolutions)
    func addresses(_ resolution: Resolution) throws {
        let base = try #require(WebAddress("https://reg.example/v2/app/up?old=1"))
        #expect(WebAddress(resolution.text, relativeTo: base)?.description == resolution.expected)
    }

    @Test func originsFillInThePort() {
        #expect(WebAddress("https://a/")?.origin == WebAddress("https://A:443/x")?.origin)
        #expect(WebAddress("https://a/")?.origin != WebAddress("http://a/")?.origin)
        #expect(WebAddress("https://a:1/")?.origin != WebAddress("https://a:2/")?.origin)
    }

    @Test(arguments: [
        ("localhost", true), ("127.0.0.1", true), ("127.255.0.3", true), ("[::1]", true), ("127.0.0.1.example", false),
        ("128.0.0.1", false), ("localhost.example", false), ("127.0.0", false), ("127.0.0.256", false),
    ])
    func loopback(host: String, expected: Bool) {
        #expect(WebAddress.isLoopback(host) == expected)
    }

    @Test func scopesAreJoined() {
        let wanted = AuthScope(repository: "a/b", "push", "pull")
        #expect(wanted.texts == ["repository:a/b:pull,push"])
        let demanded = AuthScope(
            parsing: "repository:a/b:delete repository:host:5000/x:pull registry:catalog:* junk :x"
        )
        #expect(
            wanted.union(demanded).texts == [
                "registry:catalog:*", "repository:a/b:delete,pull,push", "repository:host:5000/x:pull",
            ]
        )
    }

    @Test(
        arguments: [
            (nil, nil), ("5", Duration.seconds(5)), (" 7 ", .seconds(7)), ("-1", nil), ("99999999999", nil),
            ("Wed, 21 Oct 2026 07:28:00 GMT", nil),
        ] as [(String?, Duration?)]
    )
    func retryAfter(value: String?, expected: Duration?) {
        #expect(RetryPolicy.retryAfter(value) == expected)
    }

    @Test func waitsGrowAndAreCapped() {
        let policy = RetryPolicy()
        for failures in 1...100 {
            let delay = policy.delay(afterFailures: failures, retryAfter: nil)
            #expect(delay >= policy.baseDelay / 2)
            #expect(delay <= policy.longestDelay)
        }
        #expect(policy.delay(afterFailures: 1, retryAfter: .seconds(86_400)) == policy.longestRetryAfter)
    }

    @Test(arguments: [
        ("docker.io", "registry-1.docker.io", "", "docker.io"), ("host:5000", "host:5000", "", "host:5000"),
    ])
    func origins(domain: String, authority: String, prefix: String, name: String) {
        let endpoint = RegistryEndpoint(domain: domain)
        #expect((endpoint.authority, endpoint.prefix, endpoint.name) == (authority, prefix, name))
    }

    @Test(arguments: [
        ("mirror.example", "mirror.example", ""), ("https://m:5000/", "m:5000", ""), ("m/a/b/", "m", "a/b"),
        ("http://m//a//b", "m", "a/b"),
    ])
    func mirrors(text: String, authority: String, prefix: String) {
        let endpoint = RegistryEndpoint(mirror: text)
        #expect((endpoint.authority, endpoint.prefix) == (authority, prefix))
    }

    @Test func errorBodiesAreBoundedAndCleaned() {
        #expect(RegistryErrorBody(parsing: []).suffix.isEmpty)
        #expect(RegistryErrorBody(parsing: Array("<html>".utf8)).suffix.isEmpty)
        #expect(RegistryErrorBody(parsing: Array(#"{"errors":{"a":1}}"#.utf8)).suffix.isEmpty)
        #expect(RegistryErrorBody(parsing: Array(#"{"details":"bad\nlogin"}"#.utf8)).suffix == ": bad login")
        let long = String(repeating: "x", count: 5000)
        let many = String(repeating: #"{"code":"A","message":"\#(long)"},"#, count: 20)
        #expect(RegistryErrorBody(parsing: Array(#"{"errors":[\#(many.dropLast())]}"#.utf8)).suffix.count < 3000)
    }

    @Test func secretsDoNotShow() {
        let credentials = RegistryCredentials.basic(username: "me", password: RedactedString("hunter2"))
        var dumped = ""
        dump(credentials, to: &dumped)
        #expect(!"\(credentials)\(String(reflecting: credentials))\(dumped)".contains("hunter2"))
    }
}
