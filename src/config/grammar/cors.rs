//! The table `cors`.

use super::super::shape::Absent::{Is, Missing, Otherwise};
use super::super::shape::{Shape, field};
use super::text::{HEADER, METHOD, PAGE_ORIGIN};

/// Which pages of other origins may read answers.
pub const CORS: Shape = Shape::Table(&[
    field(
        "origins",
        Shape::List(&PAGE_ORIGIN),
        Missing,
        "The origins of the pages that may read answers: scheme, host and port, exactly as browsers \
         send them in `Origin`. `\"*\"` alone lets every page read them.",
    ),
    field(
        "credentials",
        Shape::Bool,
        Is("false"),
        "Whether those pages may send cookies and other credentials of the browser. An API key or a \
         token that the page itself sets in a header needs none of this.",
    ),
    field(
        "expose",
        Shape::List(&HEADER),
        Otherwise(
            "the gate's own: those that tell limits (`headers`), `Retry-After`, `X-Edge-Limiter`, \
             `Cache-Status`, `Age` and `X-Data-Age`",
        ),
        "The response headers that pages may read. A list replaces the default.",
    ),
    field(
        "preflight",
        Shape::Bool,
        Is("false"),
        "Whether the gate answers preflights itself, with 204. If not, they reach the origin.",
    ),
    field(
        "allow_methods",
        Shape::List(&METHOD),
        Otherwise("the `methods` of the request's route, else the method that is asked for"),
        "The methods that preflights allow. Only with `preflight = true`.",
    ),
    field(
        "allow_headers",
        Shape::List(&HEADER),
        Otherwise("the headers that are asked for"),
        "The request headers that preflights allow. Only with `preflight = true`.",
    ),
    field(
        "max_age",
        Shape::Duration { or_zero: true },
        Otherwise("5 s, by the browser"),
        "For how long a browser may remember the answer to a preflight, in whole seconds. Browsers have \
         a limit of their own (Chromium 2 h, Firefox 24 h). Only with `preflight = true`.",
    ),
]);
