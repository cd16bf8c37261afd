//! `+`, `-`, `*` and `/` on values and numbers.

use crate::expr::Expr;
use crate::graph::Var;
use std::ops::{Add, Div, Mul, Neg, Sub};

macro_rules! operator {
    ($trait:ident, $method:ident, $op:tt) => {
        impl $trait<&Var> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: &Var) -> Var {
                self.map(Expr::of(2, |x| vec![&x[0] $op &x[1]]), &[r])
            }
        }
        impl $trait<Var> for Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: Var) -> Var { (&self).$method(&r) }
        }
        impl $trait<&Var> for Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: &Var) -> Var { (&self).$method(r) }
        }
        impl $trait<Var> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: Var) -> Var { self.$method(&r) }
        }
        operator!(@number $trait, $method, $op);
    };
    (@number $trait:ident, $method:ident, $op:tt) => {
        impl $trait<f64> for &Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: f64) -> Var { self.map(Expr::of(1, |x| vec![&x[0] $op r]), &[]) }
        }
        impl $trait<f64> for Var {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: f64) -> Var { (&self).$method(r) }
        }
        impl $trait<&Var> for f64 {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: &Var) -> Var { r.map(Expr::of(1, |x| vec![self $op &x[0]]), &[]) }
        }
        impl $trait<Var> for f64 {
            type Output = Var;
            #[track_caller]
            fn $method(self, r: Var) -> Var { self.$method(&r) }
        }
    };
}
operator!(Add, add, +);
operator!(Sub, sub, -);
operator!(Mul, mul, *);
operator!(Div, div, /);

impl Neg for &Var {
    type Output = Var;
    #[track_caller]
    fn neg(self) -> Var {
        self.map(Expr::of(1, |x| vec![-&x[0]]), &[])
    }
}
impl Neg for Var {
    type Output = Var;
    #[track_caller]
    fn neg(self) -> Var {
        -&self
    }
}
