//! tmp
#[derive(Debug)]
pub struct Metrics;
use crate::{ledger::record::{Kind,Owner},plan::World,reconcile::connections::Described};
impl Metrics{pub fn issued(&self,_:Kind,_:&str){} pub fn revoked(&self,_:Kind,_:&str){} pub fn forget(&self,_:&Owner){} pub fn resource(&self,_:&World){} pub fn connection(&self,_:&Described,_:bool){}}
